"""What users may do in one virtual host: configure, write and read by the names of queues and exchanges, and by topic.

Every answer is remembered until the permissions change; changing them makes the virtual host's routes invalid, so that
publishers feel it with their next message. Asked by broker/vhost, broker/router and server/verbs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from leveret.broker.patterns import pattern
from leveret.broker.settings import PERMISSION, TOPIC_PERMISSION, Settings
from leveret.errors import ChannelError

if TYPE_CHECKING:
    from leveret.broker.exchange import Exchange
    from leveret.broker.peer import Peer

CONFIGURE: Final = "configure"
WRITE: Final = "write"
READ: Final = "read"
ANSWERS_MAX: Final = 10_000


class Grant:
    """One user's patterns: an empty one matches nothing."""

    def __init__(self, configure: str, write: str, read: str) -> None:
        self.texts: Final = {CONFIGURE: configure, WRITE: write, READ: read}
        self._patterns: Final = {name: pattern(text or "$^") for name, text in self.texts.items()}
        self._answers: Final[dict[tuple[str, str], bool]] = {}

    def allows(self, permission: str, name: str) -> bool:
        answer = self._answers.get((permission, name))
        if answer is None:
            if len(self._answers) >= ANSWERS_MAX:
                self._answers.clear()
            answer = self._answers[permission, name] = self._patterns[permission].matches(name)
        return answer


class TopicGrant:
    """One user's patterns for the routing keys of one topic exchange; {username} and {vhost} in them are filled in."""

    def __init__(self, user: str, vhost: str, write: str, read: str) -> None:
        self.texts: Final = {WRITE: write, READ: read}
        self._patterns: Final = {
            name: pattern(text.replace("{username}", user).replace("{vhost}", vhost) or "$^")
            for name, text in self.texts.items()
        }

    def allows(self, permission: str, key: str) -> bool:
        return self._patterns[permission].matches(key)


class Permissions:
    def __init__(self, vhost: str, settings: Settings, changed: Callable[[], None]) -> None:
        self._vhost: Final = vhost
        self._settings: Final = settings
        self._changed: Final = changed
        self.grants: Final[dict[str, Grant]] = {}
        self.topics: Final[dict[str, dict[str, TopicGrant]]] = {}
        """By user and exchange."""

    # ---- asking

    def require(self, peer: Peer | None, permission: str, kind: str, name: str) -> None:
        """403 unless the peer's user may; None is the broker itself. The default exchange is known as amq.default."""
        if peer is None:
            return
        if not name and kind == "exchange":
            name = "amq.default"
        grant = self.grants.get(peer.user)
        if grant is None or not grant.allows(permission, name):
            text = f"{permission} access to {kind} '{name}' in vhost '{self._vhost}' refused for user '{peer.user}'"
            raise ChannelError(403, f"ACCESS_REFUSED - {text}")

    def require_topic(self, peer: Peer | None, permission: str, exchange: Exchange, key: str) -> None:
        """403 if the user has a topic permission for this topic exchange that the key does not match."""
        if not self.topics or peer is None or exchange.type != "topic":
            return
        grant = self.topics.get(peer.user, {}).get(exchange.name)
        if grant is not None and not grant.allows(permission, key):
            where = f"exchange '{exchange.name}' in vhost '{self._vhost}'"
            text = f"{permission} access to topic '{key}' in {where} refused for user '{peer.user}'"
            raise ChannelError(403, f"ACCESS_REFUSED - {text}")

    # ---- changing

    def grant(self, user: str, configure: str, write: str, read: str) -> bool:
        """True if the user had none; InvalidSetting if a pattern is none. The user must exist."""
        grant = Grant(configure, write, read)
        new = user not in self.grants
        self.grants[user] = grant
        self._settings.save(PERMISSION, self._vhost, user, value=grant.texts)
        self._changed()
        return new

    def revoke(self, user: str) -> None:
        """KeyError if there is nothing to take away."""
        del self.grants[user]
        self._settings.drop(PERMISSION, self._vhost, user)
        self._changed()

    def grant_topic(self, user: str, exchange: str, write: str, read: str) -> bool:
        grant = TopicGrant(user, self._vhost, write, read)
        of_user = self.topics.setdefault(user, {})
        new = exchange not in of_user
        of_user[exchange] = grant
        self._settings.save(TOPIC_PERMISSION, self._vhost, user, exchange, value=grant.texts)
        self._changed()
        return new

    def revoke_topics(self, user: str, exchange: str | None = None) -> None:
        """For one exchange, or for all; KeyError if there is nothing to take away."""
        of_user = self.topics[user]
        for name in [exchange] if exchange is not None else list(of_user):
            del of_user[name]
            self._settings.drop(TOPIC_PERMISSION, self._vhost, user, name)
        if not of_user:
            del self.topics[user]
        self._changed()

    def forget(self, user: str) -> None:
        """The user is deleted."""
        if user in self.grants:
            self.revoke(user)
        if user in self.topics:
            self.revoke_topics(user)

    def forget_all(self) -> None:
        """The virtual host is deleted."""
        for user in {*self.grants, *self.topics}:
            self.forget(user)

    def restore(self, user: str, texts: dict[str, str]) -> None:
        self.grants[user] = Grant(texts[CONFIGURE], texts[WRITE], texts[READ])

    def restore_topic(self, user: str, exchange: str, texts: dict[str, str]) -> None:
        self.topics.setdefault(user, {})[exchange] = TopicGrant(user, self._vhost, texts[WRITE], texts[READ])
