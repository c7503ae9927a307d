"""Users: names, passwords, tags and limits. What they may do in a virtual host is broker/permissions'.

Kept in the store. Asked by the server when a client logs in, and by management; changed through broker/tenants.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from leveret.broker.passwords import DIGESTS, SHA256, checked, hashed, verify
from leveret.broker.quotas import check_limit
from leveret.broker.settings import USER, Settings
from leveret.errors import InvalidSetting

if TYPE_CHECKING:
    from leveret.broker.peer import Peer

GUEST: Final = "guest"
"""May come from this machine only, as in RabbitMQ."""
ADMINISTRATOR: Final = "administrator"
USER_LIMITS: Final = ("max-connections", "max-channels")


class User:
    def __init__(
        self,
        name: str,
        password_hash: str,
        algorithm: str = SHA256,
        tags: tuple[str, ...] = (),
        limits: dict[str, int] | None = None,
    ) -> None:
        self.name: Final = name
        self.password_hash: str = password_hash
        """Empty: no password opens it."""
        self.algorithm: str = algorithm
        self.tags: tuple[str, ...] = tags
        self.limits: Final[dict[str, int]] = limits or {}
        self.peers: Final[dict[int, Peer]] = {}
        """Its open connections."""

    def view(self) -> dict[str, Any]:
        """As RabbitMQ's HTTP API and definitions write it."""
        return {
            "name": self.name,
            "password_hash": self.password_hash,
            "hashing_algorithm": self.algorithm,
            "tags": list(self.tags),
            "limits": dict(self.limits),
        }

    @property
    def channels(self) -> int:
        return sum(len(peer.channels) for peer in self.peers.values())


class Users:
    def __init__(self, settings: Settings) -> None:
        self._settings: Final = settings
        self._users: Final[dict[str, User]] = {}

    def __iter__(self) -> Any:
        return iter(sorted(self._users.values(), key=lambda user: user.name))

    def __contains__(self, name: str) -> bool:
        return name in self._users

    def __getitem__(self, name: str) -> User:
        return self._users[name]

    def get(self, name: str) -> User | None:
        return self._users.get(name)

    def authenticate(self, name: str, password: str, loopback: bool) -> User | None:
        """The user, if the password is theirs. An unknown one takes as long to refuse as a wrong password."""
        user = self._users.get(name)
        if user is None:
            verify(password, _NOBODY, SHA256)
            return None
        # RabbitMQ refuses the empty password even to users whose hash is made of it.
        if not password or (name == GUEST and not loopback):
            return None
        return user if verify(password, user.password_hash, user.algorithm) else None

    def known(self, name: str, loopback: bool) -> bool:
        """May a user connect whom something other than a password has proved?"""
        return name in self._users and (name != GUEST or loopback)

    def put(
        self,
        name: str,
        tags: tuple[str, ...],
        password: str | None = None,
        password_hash: str = "",
        algorithm: str = SHA256,
        limits: dict[str, int] | None = None,
    ) -> bool:
        """Make or change a user: with `password`, or else with what another broker made of it; True if it is new."""
        if algorithm not in DIGESTS:
            raise InvalidSetting(f"unknown hashing algorithm {algorithm}; known are {', '.join(DIGESTS)}")
        for limit, value in (limits or {}).items():
            check_limit("user-limits", USER_LIMITS, limit, value)
        kept = checked(password_hash) if password is None else hashed(password) if password else ""
        user = self._users.get(name)
        if user is None:
            self._users[name] = user = User(name, kept, tags=tags)
            new = True
        else:
            new = False
        user.password_hash, user.tags = kept, tags
        user.algorithm = algorithm if password is None else SHA256
        user.limits.update(limits or {})
        self._save(user)
        return new

    def set_password(self, name: str, password: str) -> None:
        """KeyError if there is no such user."""
        user = self._users[name]
        user.password_hash, user.algorithm = hashed(password) if password else "", SHA256
        self._save(user)

    def set_tags(self, name: str, tags: tuple[str, ...]) -> None:
        self._users[name].tags = tags
        self._save(self._users[name])

    def set_limit(self, name: str, limit: str, value: object) -> None:
        """InvalidSetting if there is no such user or limit; a negative value is no limit."""
        user = self._users.get(name)
        if user is None:
            raise InvalidSetting(["no_such_user", name])
        user.limits[limit] = check_limit("user-limits", USER_LIMITS, limit, value)
        self._save(user)

    def clear_limit(self, name: str, limit: str) -> None:
        user = self._users.get(name)
        if user is None:
            raise InvalidSetting(["no_such_user", name])
        if user.limits.pop(limit, None) is not None:
            self._save(user)

    def remove(self, name: str) -> User:
        """KeyError if there is no such user; its connections and permissions are broker/tenants' to end."""
        user = self._users.pop(name)
        self._settings.drop(USER, name)
        return user

    def restore(self, name: str, value: dict[str, Any]) -> None:
        self._users[name] = User(
            name, value["password_hash"], value["hashing_algorithm"], tuple(value["tags"]), value["limits"]
        )

    def _save(self, user: User) -> None:
        value = user.view()
        del value["name"]
        self._settings.save(USER, user.name, value=value)


_NOBODY: Final = hashed("nobody")
