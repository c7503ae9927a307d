"""How a request finds its function: TABLE, by path and method, and what those functions have in common.

A function gets a Call and returns what is to be shown, True for "created", or None or False for "done"; what is wrong is
raised: KeyError (404), InvalidSetting (400) or Refused. What takes long returns an iterator and does a little of it each time. The functions are in management/tenants and
management/parameters; management/app calls them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from leveret.broker.broker import Broker
from leveret.broker.policy_rows import printed
from leveret.broker.users import ADMINISTRATOR, User
from leveret.broker.vhost import VirtualHost
from leveret.errors import InvalidSetting, LeveretError


class Call(NamedTuple):
    broker: Broker
    user: User
    names: tuple[str, ...]
    """What stands in the path for each `*`."""
    body: Any


Function = Callable[[Call], Any]
F = TypeVar("F", bound=Function)

TABLE: dict[tuple[str, ...], dict[str, Function]] = {}


class Refused(LeveretError):
    """Not an error of the request itself: status, error and reason are told as they are."""

    def __init__(self, status: int, error: str, reason: object) -> None:
        super().__init__(reason)
        self.status = status
        self.error = error
        self.reason = reason


def not_authorised(reason: str) -> Refused:
    return Refused(401, "not_authorised", reason)


def no_vhost() -> Refused:
    """Made anew each time, as all that is raised: an exception keeps what it has passed through."""
    return Refused(404, "not_found", "vhost_not_found")


def on(method: str, path: str) -> Callable[[F], F]:
    """Register what answers `method` on `path`, where `*` stands for a name."""

    def register(function: F) -> F:
        TABLE.setdefault(tuple(path.split("/")), {})[method] = function
        return function

    return register


def for_administrators(function: Function) -> Function:
    def checked(call: Call) -> Any:
        if ADMINISTRATOR not in call.user.tags:
            raise not_authorised("Not administrator user")
        return function(call)

    return checked


def wanted(body: Any, *keys: str) -> list[Any]:
    """The body's values of these keys; InvalidSetting names those that are missing."""
    if not isinstance(body, dict):
        raise InvalidSetting("failed_to_parse_json")
    missing = [f"{{key_missing,{key}}}" for key in keys if key not in body]
    if missing:
        raise InvalidSetting(f"[{','.join(missing)}]")
    return [body[key] for key in keys]


def texts(body: Any, *keys: str) -> list[str]:
    """As `wanted`, where each has to be a text."""
    values = wanted(body, *keys)
    for key, value in zip(keys, values, strict=True):
        if not isinstance(value, str):
            raise InvalidSetting(f"{key} should be a string, actually was {printed(value)}")
    return values


def may_use(user: User, vhost: VirtualHost) -> bool:
    return ADMINISTRATOR in user.tags or user.name in vhost.permissions.grants


def usable(call: Call) -> list[VirtualHost]:
    """The virtual hosts whose things the user may see."""
    return [vhost for vhost in call.broker.vhosts.values() if may_use(call.user, vhost)]


def visible(call: Call, *tags: str) -> VirtualHost:
    """The virtual host that the path names first: 404 if there is none, 401 if the user may not see into it."""
    vhost = call.broker.vhosts[call.names[0]]
    if not may_use(call.user, vhost) and not set(tags).intersection(call.user.tags):
        raise not_authorised("User not authorised to access virtual host")
    return vhost


def existing(call: Call, number: int = 0) -> VirtualHost:
    """The virtual host that the path names first, or at that place, to write into."""
    vhost = call.broker.vhosts.get(call.names[number])
    if vhost is None:
        raise no_vhost()
    return vhost
