"""Virtual hosts, users and connections together: what comes and goes with which, kept in the store.

Whoever administers the broker (management, the definitions, the command line) changes virtual hosts and users here, and
permissions, policies and limits through the virtual host and `users`. The server asks `connect` for each connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from leveret.broker.quotas import check_channel, check_connection
from leveret.broker.settings import (
    GLOBAL_PARAMETER,
    OPERATOR_POLICY,
    PERMISSION,
    POLICY,
    TOPIC_PERMISSION,
    USER,
    VHOST,
    VHOST_LIMITS,
    read,
)
from leveret.broker.users import ADMINISTRATOR, GUEST, Users
from leveret.errors import ConnectionError, InvalidSetting

if TYPE_CHECKING:
    from leveret.broker.broker import Broker
    from leveret.broker.peer import Peer
    from leveret.broker.vhost import VirtualHost

ALL: Final = ".*"
DEFAULT_VHOST: Final = "/"


class Tenants:
    def __init__(self, broker: Broker) -> None:
        self._broker: Final = broker
        self._settings: Final = broker.commons.settings
        self.users: Final = Users(self._settings)
        self.global_parameters: Final[dict[str, object]] = {}
        """Kept for whoever asks, as RabbitMQ does; the broker itself uses none."""

    # ---- virtual hosts

    def put_vhost(self, name: str, metadata: dict[str, Any], creator: str = "") -> bool:
        """Make or describe a virtual host (description, tags, default_queue_type); True if it is new.

        Who makes one may use it, as in RabbitMQ.
        """
        vhost = self._broker.vhosts.get(name)
        new = vhost is None
        if vhost is None:
            vhost = self._broker.add_vhost(name)
        vhost.describe(metadata)
        self._settings.save(VHOST, name, value=vhost.metadata)
        if new and creator in self.users:
            vhost.permissions.grant(creator, ALL, ALL, ALL)
        return new

    def delete_vhost(self, name: str) -> None:
        """With all that is in it; its connections are closed. KeyError if there is none."""
        vhost = self._broker.vhosts.pop(name)
        del self._broker.routers[name]
        for peer in list(vhost.peers.values()):
            peer.force_close(f"vhost '{name}' is deleted")
        vhost.delete_all()
        churn = self._broker.commons.churn
        churn.past.add(vhost.past)
        for number, count in enumerate(vhost.past_traffic):
            churn.past_traffic[number] += count
        self._settings.drop(VHOST, name)

    # ---- users

    def delete_user(self, name: str) -> None:
        """With the permissions; its connections are closed. KeyError if there is none."""
        user = self.users.remove(name)
        for vhost in self._broker.vhosts.values():
            vhost.permissions.forget(name)
        for peer in list(user.peers.values()):
            peer.force_close(f"user '{name}' is deleted")

    def known(self, vhost: str, user: str) -> VirtualHost:
        """The virtual host in which the user is to be given something; InvalidSetting if one of them is not there."""
        found = self._broker.vhosts.get(vhost)
        if found is None or user not in self.users:
            raise InvalidSetting("vhost_or_user_not_found")
        return found

    def put_global_parameter(self, name: str, value: object) -> None:
        self.global_parameters[name] = value
        self._settings.save(GLOBAL_PARAMETER, name, value=value)

    def delete_global_parameter(self, name: str) -> None:
        """KeyError if there is none."""
        del self.global_parameters[name]
        self._settings.drop(GLOBAL_PARAMETER, name)

    # ---- connections

    def connect(self, peer: Peer, name: str) -> VirtualHost:
        """connection.open: 530 if there is no such virtual host, or the user may not use it (any more)."""
        vhost = self._broker.vhosts.get(name)
        if vhost is None:
            raise ConnectionError(530, f"NOT_ALLOWED - vhost {name} not found")
        user = self.users.get(peer.user)
        if user is not None:
            check_connection(vhost, user, len(self._broker.peers))
        if user is None or peer.user not in vhost.permissions.grants:
            text = f"access to vhost '{name}' refused for user '{peer.user}'"
            raise ConnectionError(530, f"NOT_ALLOWED - {text}")
        peer.tags = user.tags
        peer.vhost = vhost
        self._broker.commons.churn.connections_created += 1
        vhost.peers[id(peer)] = user.peers[id(peer)] = self._broker.peers[id(peer)] = peer
        return vhost

    def check_channel(self, peer: Peer) -> None:
        """530 if the user has as many channels as it may."""
        user = self.users.get(peer.user)
        if user is not None and user.limits:
            check_channel(user)

    def disconnect(self, peer: Peer) -> None:
        """The connection counts no more."""
        vhost = peer.vhost
        if vhost is not None and vhost.peers.pop(id(peer), None) is not None:
            self._broker.commons.churn.connections_closed += 1
            for number, count in enumerate(peer.traffic()):
                vhost.past_traffic[number] += count
        user = self.users.get(peer.user)
        if user is not None:
            user.peers.pop(id(peer), None)

    # ---- recovery

    def restore(self, rows: dict[str, str]) -> None:
        """Put back what the store found; a broker that has neither users nor virtual hosts gets RabbitMQ's first ones."""
        found = read(rows)
        for (name,), value in found.get(VHOST, []):
            self._broker.vhost(name).describe(value)
        for (name,), value in found.get(USER, []):
            self.users.restore(name, value)
        if not found.get(USER) and not found.get(VHOST):
            self.put_vhost(DEFAULT_VHOST, {"description": "Default virtual host"})
            self.users.put(GUEST, (ADMINISTRATOR,), GUEST)
            self._broker.vhosts[DEFAULT_VHOST].permissions.grant(GUEST, ALL, ALL, ALL)
        for (name, user), value in found.get(PERMISSION, []):
            self._broker.vhost(name).permissions.restore(user, value)
        for (name, user, exchange), value in found.get(TOPIC_PERMISSION, []):
            self._broker.vhost(name).permissions.restore_topic(user, exchange, value)
        for kind in (POLICY, OPERATOR_POLICY):
            for (name, policy), value in found.get(kind, []):
                self._broker.vhost(name).policies.restore(kind, policy, value)
        for (name,), value in found.get(VHOST_LIMITS, []):
            self._broker.vhost(name).limits.update(value)
        self.global_parameters.update((name, value) for (name,), value in found.get(GLOBAL_PARAMETER, []))
