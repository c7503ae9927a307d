"""What clients may say in the arguments of queues, exchanges and consumers, and on declaring one again.

Each argument is a row: name, check, default. A check returns what is wrong in RabbitMQ's words, or an empty text.
Arguments without a row are accepted and mean nothing. What the arguments do is not here. Called by broker/vhost
and broker/basic.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

from leveret.errors import ChannelError

if TYPE_CHECKING:
    from leveret.broker.exchange import Exchange
    from leveret.broker.queue import Queue

Arguments = Mapping[str, object]
Check = Callable[[object, Arguments], str]

EXPIRY_MS_MAX: Final = 315_360_000_000  # ten years
PRIORITY_MAX: Final = 255
NOT_GIVEN: Final = object()
TYPE_NAMES: Final[dict[type, str]] = {
    str: "longstr",
    bytes: "binary",
    float: "double",
    Decimal: "decimal",
    datetime: "timestamp",
    dict: "table",
    list: "array",
}


class Argument(NamedTuple):
    name: str
    check: Check
    default: object = None


# ---- field values as RabbitMQ prints them


def type_name(value: object) -> str:
    """Erlang's name of the field type. Integers are known by their size only."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "signedint" if -(2**31) <= value < 2**31 else "long"
    return TYPE_NAMES.get(type(value), "void")


def term(value: object) -> str:
    """The value as an Erlang term."""
    if value is None:
        return "undefined"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return str(int(value.timestamp()))
    if isinstance(value, Decimal):
        scale = -int(value.as_tuple().exponent)
        return f"{{{scale},{int(value.scaleb(scale))}}}"
    if isinstance(value, (str, bytes)):
        text = value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")
        return f"<<{_quoted(text)}{'' if text.isascii() else '/utf8'}>>"
    if isinstance(value, list):
        return "[" + ",".join(f"{{{type_name(item)},{term(item)}}}" for item in value) + "]"
    if isinstance(value, dict):
        fields = (f"{{{term(key)},{type_name(item)},{term(item)}}}" for key, item in value.items())
        return "[" + ",".join(fields) + "]"
    return str(value)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


# ---- checks


def _integer(value: object, arguments: Arguments) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return ""
    return _quoted(f"expected integer, got {type_name(value)}")


def _not_negative(value: object, arguments: Arguments) -> str:
    fault = _integer(value, arguments)
    if not fault and isinstance(value, int) and value < 0:
        return f"{{value_negative,{value}}}"
    return fault


def _positive(value: object, arguments: Arguments) -> str:
    return "{value_zero,0}" if value == 0 and not _integer(value, arguments) else _not_negative(value, arguments)


def _expiry(value: object, arguments: Arguments) -> str:
    fault = _not_negative(value, arguments)
    if not fault and isinstance(value, int) and value > EXPIRY_MS_MAX:
        return f"{{value_too_large,{value}}}"
    return fault


def _disuse(value: object, arguments: Arguments) -> str:
    return _positive(value, arguments) or _expiry(value, arguments)


def _priority_max(value: object, arguments: Arguments) -> str:
    fault = _not_negative(value, arguments)
    if not fault and isinstance(value, int) and value > PRIORITY_MAX:
        return f"{{max_value_exceeded,{value}}}"
    return fault


def _version(value: object, arguments: Arguments) -> str:
    # RabbitMQ up to 4.2 knows versions 1 and 2, later ones only 2; here both mean the same.
    fault = _not_negative(value, arguments)
    return fault or ("" if value in (1, 2) else _quoted(f"unsupported queue version '{value}'"))


def _unacceptable(value: object) -> str:
    return f"{{unacceptable_type,{type_name(value)}}}"


def _boolean(value: object, arguments: Arguments) -> str:
    return "" if isinstance(value, bool) else _unacceptable(value)


def _string(value: object, arguments: Arguments) -> str:
    return "" if isinstance(value, str) else _unacceptable(value)


def _dead_letter_key(value: object, arguments: Arguments) -> str:
    if isinstance(value, str) and DEAD_LETTER not in arguments:
        return "routing_key_but_no_dlx_defined"
    return _string(value, arguments)


def _one_of(fault: str, *known: str) -> Check:
    def check(value: object, arguments: Arguments) -> str:
        return _string(value, arguments) or ("" if value in known else fault)

    return check


def _queue_mode(value: object, arguments: Arguments) -> str:
    if not isinstance(value, str) or value in ("default", "lazy"):
        return _string(value, arguments)
    return _quoted(f"unsupported queue mode '{value}'")


def _queue_type(value: object, arguments: Arguments) -> str:
    if not isinstance(value, str) or value in QUEUE_TYPES or value in NO_QUEUE_TYPE:
        return _string(value, arguments)
    return _quoted(f"unsupported queue type '{value}'")


# ---- the rows, in the order in which RabbitMQ checks them

QUEUE_ARGUMENTS: Final = (
    Argument("x-queue-type", _queue_type, "classic"),
    Argument("x-expires", _disuse),
    Argument("x-message-ttl", _expiry),
    Argument("x-dead-letter-routing-key", _dead_letter_key),
    Argument(
        "x-dead-letter-strategy", _one_of("invalid_dlx_strategy", "at-most-once", "at-least-once"), "at-most-once"
    ),
    Argument("x-max-length", _not_negative),
    Argument("x-max-length-bytes", _not_negative),
    Argument("x-max-in-memory-length", _not_negative),
    Argument("x-max-in-memory-bytes", _not_negative),
    Argument("x-max-priority", _priority_max, 0),
    Argument(
        "x-overflow",
        _one_of("invalid_overflow", "drop-head", "reject-publish", "reject-publish-dlx"),
        "drop-head",
    ),
    Argument("x-queue-mode", _queue_mode, "default"),
    Argument("x-queue-version", _version, 2),
    Argument("x-single-active-consumer", _boolean, False),
    Argument("x-consumer-timeout", _not_negative),
    Argument("x-quorum-initial-group-size", _positive),
    Argument("x-delivery-limit", _integer, 20),
    Argument(
        "x-queue-leader-locator",
        _one_of("invalid_queue_locator_arg", "client-local", "balanced", "random", "least-leaders", "min-masters"),
    ),
)

CONSUMER_ARGUMENTS: Final = (
    Argument("x-priority", _integer, 0),
    Argument("x-consumer-timeout", _not_negative),
)

ALTERNATE: Final = "alternate-exchange"
DEAD_LETTER: Final = "x-dead-letter-exchange"
"""These two name an exchange; RabbitMQ checks them apart from the rows, in other words."""


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# What each queue type knows, in the order in which RabbitMQ compares it when a queue is declared again.
_CLASSIC: Final = _names(
    "x-expires x-message-ttl x-dead-letter-exchange x-dead-letter-routing-key x-max-length "
    "x-max-length-bytes x-max-priority x-overflow x-queue-mode x-queue-version "
    "x-single-active-consumer x-queue-type x-queue-master-locator x-queue-leader-locator "
    "x-consumer-timeout"
)
_QUORUM: Final = _names(
    "x-dead-letter-exchange x-dead-letter-routing-key x-dead-letter-strategy x-expires x-max-length "
    "x-max-length-bytes x-max-in-memory-length x-max-in-memory-bytes x-overflow "
    "x-single-active-consumer x-queue-type x-quorum-initial-group-size x-delivery-limit x-message-ttl "
    "x-queue-leader-locator x-consumer-timeout"
)
QUEUE_TYPES: Final = {"classic": _CLASSIC, "quorum": _QUORUM}
NO_QUEUE_TYPE: Final = ("", "undefined")  # what RabbitMQ takes for an absent x-queue-type
_STREAM_ONLY: Final = _names(
    "x-max-age x-stream-max-segment-size-bytes x-stream-filter-size-bytes x-initial-cluster-size"
)
_STREAM_CONSUMER_ONLY: Final = _names("x-stream-offset x-stream-filter x-stream-match-unfiltered")
_DEFAULTS: Final = {row.name: row.default for row in QUEUE_ARGUMENTS}


def queue_type(arguments: Arguments) -> str:
    """`classic` or `quorum`, from checked arguments."""
    given = arguments.get("x-queue-type")
    return given if isinstance(given, str) and given not in NO_QUEUE_TYPE else "classic"


def queue_argument(arguments: Arguments, name: str) -> object:
    """What was declared, or the row's default; None is no limit."""
    return arguments.get(name, _DEFAULTS.get(name))


# ---- on declaring and consuming


def _refuse(text: str) -> NoReturn:
    raise ChannelError(406, f"PRECONDITION_FAILED - {text}")


def _check_rows(rows: tuple[Argument, ...], known: Collection[str], resource: str, arguments: Arguments) -> None:
    for row in rows:
        if row.name in arguments and row.name in known:
            fault = row.check(arguments[row.name], arguments)
            if fault:
                _refuse(f"invalid arg '{row.name}' for {resource}: {fault}")


def _check_foreign(foreign: Collection[str], kind: str, resource: str, arguments: Arguments) -> None:
    """Arguments that only another queue type knows are refused, unlike those that none knows."""
    for name in arguments:
        if name in foreign:
            _refuse(f"invalid arg '{name}' for {resource} of queue type rabbit_{kind}_queue")


def check_queue_arguments(
    name: str, vhost: str, durable: bool, exclusive: bool, arguments: Arguments, *, auto_delete: bool = False
) -> None:
    """406 unless a queue can be declared so."""
    resource = f"queue '{name}' in vhost '{vhost}'"
    _check_name(arguments, DEAD_LETTER, resource)
    _check_rows(QUEUE_ARGUMENTS, ("x-queue-type",), resource, arguments)
    kind = queue_type(arguments)
    known = QUEUE_TYPES[kind]
    _check_rows(QUEUE_ARGUMENTS, known, resource, arguments)
    foreign = [argument for argument in (*_CLASSIC, *_QUORUM, *_STREAM_ONLY) if argument not in known]
    _check_foreign(foreign, kind, resource, arguments)
    if kind == "quorum":
        _check_quorum_properties(resource, durable, exclusive, auto_delete)


def _check_quorum_properties(resource: str, durable: bool, exclusive: bool, auto_delete: bool) -> None:
    faults = (("auto-delete", auto_delete), ("exclusive-owner", exclusive), ("non-durable", not durable))
    for fault, found in faults:
        if found:
            _refuse(f"invalid property '{fault}' for {resource}")


def check_server_named(arguments: Arguments) -> None:
    """406 unless the broker may choose the name of a queue declared with these arguments."""
    if queue_type(arguments) == "quorum":
        _refuse("Cannot declare a server-named queue for type rabbit_quorum_queue")


def check_consumer_arguments(queue: str, vhost: str, arguments: Arguments, *, kind: str = "classic") -> None:
    """406 unless a queue of this type can be consumed so."""
    resource = f"queue '{queue}' in vhost '{vhost}'"
    known = tuple(row.name for row in CONSUMER_ARGUMENTS)
    _check_rows(CONSUMER_ARGUMENTS, known, resource, arguments)
    _check_foreign(_STREAM_CONSUMER_ONLY, kind, resource, arguments)


def check_exchange_arguments(name: str, vhost: str, arguments: Arguments) -> None:
    """406 unless an exchange can be declared so."""
    _check_name(arguments, ALTERNATE, f"exchange '{name}' in vhost '{vhost}'")


def _check_name(arguments: Arguments, key: str, resource: str) -> None:
    """An exchange named in an argument; it need not exist."""
    if key in arguments and not isinstance(arguments[key], str):
        _refuse(f"invalid type '{type_name(arguments[key])}' for arg '{key}' in {resource}")


# ---- on declaring again


def check_queue_equivalent(
    queue: Queue, vhost: str, durable: bool, exclusive: bool, auto_delete: bool, arguments: Arguments
) -> None:
    """405 or 406 unless the queue is as it would be declared now. The caller knows that it belongs to this connection."""
    resource = f"queue '{queue.name}' in vhost '{vhost}'"
    if exclusive != (queue.owner is not None):
        text = (
            f"RESOURCE_LOCKED - cannot obtain exclusive access to locked {resource}. It could be originally declared "
            "on another connection or the exclusive property value does not match that of the original declaration."
        )
        raise ChannelError(405, text)
    # An exclusive queue is never durable, whatever was asked for.
    _same_field("durable", queue.durable and not exclusive, durable and not exclusive, resource)
    _same_field("auto_delete", queue.auto_delete, auto_delete, resource)
    for name in QUEUE_TYPES[queue_type(queue.arguments)]:
        _same_argument(name, queue.arguments, arguments, resource)


def check_exchange_equivalent(
    exchange: Exchange, vhost: str, kind: str, durable: bool, auto_delete: bool, internal: bool, arguments: Arguments
) -> None:
    """406 unless the exchange is as it would be declared now."""
    resource = f"exchange '{exchange.name}' in vhost '{vhost}'"
    _same_field("type", exchange.type, kind, resource)
    _same_field("durable", exchange.durable, durable, resource)
    _same_field("auto_delete", exchange.auto_delete, auto_delete, resource)
    _same_field("internal", exchange.internal, internal, resource)
    _same_argument(ALTERNATE, exchange.arguments, arguments, resource)


def _same_field(name: str, current: object, received: object, resource: str) -> None:
    if current != received:
        _inequivalent(name, _plain(received), _plain(current), resource)


def _same_argument(name: str, current_arguments: Arguments, received_arguments: Arguments, resource: str) -> None:
    current = _given(name, current_arguments)
    received = _given(name, received_arguments)
    if current is received:
        return
    if current is NOT_GIVEN or received is NOT_GIVEN:
        _inequivalent(name, _described(received), _described(current), resource)
    # RabbitMQ compares the values alone: bytes equal the same text.
    if term(current) != term(received):
        _inequivalent(name, _plain(received), _plain(current), resource)


def _given(name: str, arguments: Arguments) -> object:
    """RabbitMQ 4 writes the default queue type into every declaration."""
    if name == "x-queue-type" and isinstance(arguments.get(name, ""), str):
        return queue_type(arguments)
    return arguments.get(name, NOT_GIVEN)


def _plain(value: object) -> str:
    return f"'{value if isinstance(value, str) else term(value)}'"


def _described(value: object) -> str:
    if value is NOT_GIVEN:
        return "none"
    return f"the value {_plain(value)} of type '{type_name(value)}'"


def _inequivalent(name: str, received: str, current: str, resource: str) -> NoReturn:
    _refuse(f"inequivalent arg '{name}' for {resource}: received {received} but current is {current}")


# ---- on publishing


def parse_expiration(text: str) -> int:
    """A message's own time to live in ms; 406 unless it is a whole number of at most ten years."""
    match = re.match("[+-]?[0-9]+", text)
    if match is None:
        fault = "no_integer"
    elif match.end() < len(text):
        fault = f"{{leftover_string,{_quoted(text[match.end() :])}}}"
    else:
        fault = _expiry(int(match[0]), {})
    if match is None or fault:
        _refuse(f"invalid expiration '{text}': {fault}")
    return int(match[0])
