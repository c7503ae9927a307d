"""Limits that administrators set: connections and queues of a virtual host, connections and channels of a user.

Counted only where a limit is set or a connection opens; nothing here is on a message's way.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from leveret.broker.arguments import term
from leveret.errors import ChannelError, ConnectionError, InvalidSetting

if TYPE_CHECKING:
    from leveret.broker.users import User
    from leveret.broker.vhost import VirtualHost

VHOST_LIMITS: Final = ("max-connections", "max-queues")


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


def check_connection(vhost: VirtualHost, user: User) -> None:
    """530 if one more connection is one too many."""
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
