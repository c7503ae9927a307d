"""Exchanges, queues and bindings as the store keeps them: JSON text, readable with any SQLite tool.

Arguments are a field table with more types than JSON has, so they stand there as the hexadecimal AMQP encoding.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from leveret.wire.values import decode_table, encode_table

if TYPE_CHECKING:
    from leveret.broker.exchange import Binding, Exchange
    from leveret.broker.queue import Queue


def _table(arguments: dict[str, object]) -> str:
    return encode_table(arguments).hex() if arguments else ""


def read_table(text: str) -> dict[str, object]:
    """Arguments out of a definition."""
    return dict(decode_table(bytes.fromhex(text), 0)[0]) if text else {}


def queue_definition(queue: Queue) -> str:
    return json.dumps({"auto_delete": queue.auto_delete, "arguments": _table(queue.arguments)})


def delay_line_definition(exchange: Exchange) -> str:
    """Stands among the queues, as their messages do."""
    return json.dumps({"delays": exchange.name})


def exchange_definition(exchange: Exchange) -> str:
    return json.dumps(
        {
            "type": exchange.type,
            "auto_delete": exchange.auto_delete,
            "internal": exchange.internal,
            "arguments": _table(exchange.arguments),
        }
    )


def binding_definition(binding: Binding) -> str:
    return json.dumps(
        {
            "source": binding.source.name,
            "kind": binding.destination.kind,
            "destination": binding.destination.name,
            "key": binding.key,
            "arguments": _table(binding.arguments),
        }
    )


def binding_key(vhost: str, binding: Binding) -> str:
    """What tells this binding from all others of the broker."""
    destination = binding.destination
    parts = [
        vhost,
        binding.source.name,
        destination.kind,
        destination.name,
        binding.key,
        _table(binding.arguments),
    ]
    return json.dumps(parts)
