"""The types of exchanges by name: how one is made, and what its arguments must say. Called by broker/vhost."""

from __future__ import annotations

from typing import Final

from leveret.broker import arguments as x_arguments
from leveret.broker import consistent_hash
from leveret.broker.consistent_hash import ConsistentHashExchange
from leveret.broker.delayed_exchange import DelayedExchange
from leveret.broker.exchange import DirectExchange, Exchange, FanoutExchange, HeadersExchange, TopicExchange
from leveret.errors import ChannelError

DELAYED: Final = "x-delayed-message"
DELAYED_TYPE: Final = "x-delayed-type"

_CLASSES: Final[dict[str, type[Exchange]]] = {
    "direct": DirectExchange,
    "fanout": FanoutExchange,
    "topic": TopicExchange,
    "headers": HeadersExchange,
    "x-consistent-hash": ConsistentHashExchange,
}
EXCHANGE_TYPES: Final = (*_CLASSES, DELAYED)


def check_type(type: str) -> None:
    """406 unless there is such a type."""
    if type not in EXCHANGE_TYPES:
        raise ChannelError(406, f"PRECONDITION_FAILED - unknown exchange type '{type}'")


def check_arguments(name: str, vhost: str, type: str, arguments: dict[str, object]) -> None:
    """406 unless an exchange of this type can be declared so."""
    x_arguments.check_exchange_arguments(name, vhost, arguments)
    if type == DELAYED:
        type = _checked_inner_type(arguments)
    if type == "x-consistent-hash":
        consistent_hash.check_arguments(f"exchange '{name}' in vhost '{vhost}'", arguments)


def _checked_inner_type(arguments: dict[str, object]) -> str:
    type = arguments.get(DELAYED_TYPE)
    if not isinstance(type, str):
        text = "Invalid argument, 'x-delayed-type' must be an existing exchange type"
        raise ChannelError(406, f"PRECONDITION_FAILED - {text}")
    if type == DELAYED:
        text = "Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'"
        raise ChannelError(406, f"PRECONDITION_FAILED - {text}")
    check_type(type)
    return type


def make_exchange(
    name: str, type: str, durable: bool, auto_delete: bool, internal: bool, arguments: dict[str, object]
) -> Exchange:
    """An exchange of one of EXCHANGE_TYPES, whose arguments were checked."""
    if type == DELAYED:
        inner = make_exchange(name, str(arguments[DELAYED_TYPE]), durable, auto_delete, internal, arguments)
        return DelayedExchange(name, type, durable, auto_delete, internal, arguments, inner)
    return _CLASSES[type](name, type, durable, auto_delete, internal, arguments)
