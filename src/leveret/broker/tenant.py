"""What administrators set for one virtual host: its description, permissions, policies and limits, all kept in the store.

The base of broker/vhost, which has the verbs of clients. Changed through management and the definitions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from leveret.broker.counts import Counts
from leveret.broker.exchange import Exchange
from leveret.broker.permissions import Permissions
from leveret.broker.policies import Policies
from leveret.broker.quotas import VHOST_LIMITS, check_limit
from leveret.broker.settings import VHOST_LIMITS as LIMITS_KEY

if TYPE_CHECKING:
    from leveret.broker.commons import Commons
    from leveret.broker.peer import Peer
    from leveret.broker.queue import Queue


class Tenant:
    def __init__(self, name: str, commons: Commons) -> None:
        self.name: Final = name
        self.commons: Final = commons
        self.metadata: Final[dict[str, Any]] = {"description": "", "tags": []}
        self.limits: Final[dict[str, int]] = {}
        self.permissions: Final = Permissions(name, commons.settings, self._changed)
        self.policies: Final = Policies(name, commons.settings)
        self.peers: Final[dict[int, Peer]] = {}
        """The open connections to this virtual host."""
        self.past: Final = Counts()
        """Of its channels that are closed, and of its queues that are deleted."""
        self.past_traffic: Final = [0, 0, 0, 0]
        """On its connections that are closed, as Peer.traffic tells it."""
        self.queues: Final[dict[str, Queue]] = {}
        self.exchanges: Final[dict[str, Exchange]] = {}
        self.epoch: int = 0
        """Grows with every change of exchanges, queues, bindings or permissions: routes found earlier hold no more."""

    def _changed(self) -> None:
        self.epoch += 1

    def describe(self, metadata: dict[str, Any]) -> None:
        self.metadata.update(metadata)

    def set_limit(self, name: str, value: object) -> None:
        """InvalidSetting if there is no such limit; a negative value is none."""
        self.limits[name] = check_limit("vhost-limits", VHOST_LIMITS, name, value)
        self.commons.settings.save(LIMITS_KEY, self.name, value=self.limits)

    def clear_limit(self, name: str) -> None:
        if self.limits.pop(name, None) is not None:
            self.commons.settings.save(LIMITS_KEY, self.name, value=self.limits)

    def put_policy(self, kind: str, name: str, given: dict[str, Any]) -> bool:
        """Set a policy or an operator policy (broker/policies); True if it is new. It holds at once."""
        new = self.policies.put(kind, name, given)
        self._apply_policies()
        return new

    def delete_policy(self, kind: str, name: str) -> None:
        """KeyError if there is none."""
        self.policies.remove(kind, name)
        self._apply_policies()

    def _apply_policies(self) -> None:
        self.policies.apply_to_all(self.queues.values())
        self.policies.apply_to_all(self.exchanges.values())
        self.epoch += 1

    def forget_settings(self) -> None:
        """The virtual host is deleted."""
        self.permissions.forget_all()
        self.policies.forget_all()
        self.commons.settings.drop(LIMITS_KEY, self.name)
