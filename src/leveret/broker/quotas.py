"""Limits: those of the whole broker, from its configuration, and those that administrators set for virtual hosts and users.

Counted only where something is made or a connection opens; nothing here is on a message's way. 0 and, in what
administrators set, -1 are none. The texts are RabbitMQ's where it has such a limit.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from leveret.broker.arguments import term
from leveret.errors import ChannelError, ConnectionError, InvalidSetting
from leveret.wire.values import NESTING_MAX

if TYPE_CHECKING:
    from leveret.broker.channel import Channel
    from leveret.broker.users import User
    from leveret.broker.vhost import VirtualHost

VHOST_LIMITS: Final = ("max-connections", "max-queues")


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many of each there may be in the whole broker; 0: any number."""

    connections: int = 0
    queues: int = 0
    exchanges: int = 0
    bindings: int = 0
    consumers: int = 0
    """On one channel."""
    unacked: int = 0
    """On one channel."""
    nesting: int = NESTING_MAX
    """Of tables in a message's headers."""


UNBOUNDED: Final = Bounds()


def check_limit(component: str, known: tuple[str, ...], name: str, value: object) -> int:
    """The value, or InvalidSetting in RabbitMQ's words."""
    number = isinstance(value, int) and not isinstance(value, bool)
    if name not in known:
        where = "user-limits" if component == "user-limits" else "limits"
        text = f"Unrecognised terms [{{<<{json.dumps(name)}>>,{_term(value)}}}] in {where}"
    elif not number:
        text = f"{name} should be a number, actually was {_term(value)}"
    else:
        assert isinstance(value, int)
        return value
    raise InvalidSetting(text if component == "user-limits" else f"Validation failed\n\n{text}\n")


def _term(value: object) -> str:
    return "null" if value is None else term(value)


def limit_of(limits: dict[str, int], name: str) -> int:
    """-1: none."""
    return max(-1, limits.get(name, -1))


def check_connection(vhost: VirtualHost, user: User, connections: int) -> None:
    """530 if one more connection is one too many. `connections` are open in the whole broker."""
    most = vhost.commons.bounds.connections
    if 0 < most <= connections:
        raise ConnectionError(530, f"NOT_ALLOWED - connection refused: node connection limit ({most}) is reached")
    most = limit_of(vhost.limits, "max-connections")
    if 0 <= most <= len(vhost.peers):
        text = f"access to vhost '{vhost.name}' refused for user '{user.name}': connection limit ({most}) is reached"
        raise ConnectionError(530, f"NOT_ALLOWED - {text}")
    most = limit_of(user.limits, "max-connections")
    if 0 <= most <= len(user.peers):
        text = f"connection refused for user '{user.name}': user connection limit ({most}) is reached"
        raise ConnectionError(530, f"NOT_ALLOWED - {text}")


def check_channel(user: User) -> None:
    """530 if one more channel is one too many."""
    most = limit_of(user.limits, "max-channels")
    if 0 <= most <= user.channels:
        text = (
            f"number of channels opened for user '{user.name}' has reached the maximum allowed user limit of ({most})"
        )
        raise ConnectionError(530, f"NOT_ALLOWED - {text}")


def check_queue(vhost: VirtualHost, name: str) -> None:
    """406 if one more queue is one too many."""
    most = limit_of(vhost.limits, "max-queues")
    if 0 <= most <= len(vhost.queues):
        text = f"cannot declare queue '{name}': queue limit in vhost '{vhost.name}' ({most}) is reached"
        raise ChannelError(406, f"PRECONDITION_FAILED - {text}")
    most = vhost.commons.bounds.queues
    if 0 < most <= sum(len(one.queues) for one in vhost.commons.vhosts.values()):
        raise ChannelError(406, f"PRECONDITION_FAILED - cannot declare queue '{name}': queue limit ({most}) is reached")


def check_exchange(vhost: VirtualHost, name: str) -> None:
    """406 if one more exchange is one too many. Those that each virtual host begins with count."""
    most = vhost.commons.bounds.exchanges
    if 0 < most <= sum(len(one.exchanges) for one in vhost.commons.vhosts.values()):
        text = f"cannot declare exchange '{name}': exchange limit of {most} is reached"
        raise ChannelError(406, f"PRECONDITION_FAILED - {text}")


def check_binding(vhost: VirtualHost) -> None:
    """406 if one more binding is one too many."""
    most = vhost.commons.bounds.bindings
    if 0 < most <= vhost.commons.bindings:
        raise ChannelError(406, f"PRECONDITION_FAILED - cannot bind: binding limit ({most}) is reached")


def check_consumer(channel: Channel) -> None:
    """530 if one more consumer on the channel is one too many."""
    most = channel.vhost.commons.bounds.consumers
    if 0 < most <= len(channel.consumers):
        raise ConnectionError(530, f"NOT_ALLOWED - reached maximum ({most}) of consumers per channel")


def check_held(channel: Channel) -> None:
    """406 if the channel holds as many unacknowledged messages as it may: basic.get has no room to wait for."""
    most = channel.vhost.commons.bounds.unacked
    if 0 < most <= channel.unacked.count:
        text = f"channel {channel.number} holds {most} unacknowledged messages, as many as it may"
        raise ChannelError(406, f"PRECONDITION_FAILED - {text}")
