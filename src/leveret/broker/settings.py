"""What administrators set, as the store keeps it: one row of JSON each, under a key that begins with its kind.

Users, virtual hosts, permissions, policies and limits are kept so; queues, exchanges and bindings are broker/definitions'.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from leveret.store.store import Store

VHOST: Final = "vhost"
USER: Final = "user"
PERMISSION: Final = "permission"
TOPIC_PERMISSION: Final = "topic-permission"
POLICY: Final = "policy"
OPERATOR_POLICY: Final = "operator_policy"
VHOST_LIMITS: Final = "vhost-limits"
GLOBAL_PARAMETER: Final = "global-parameter"

Value = dict[str, Any]


class Settings:
    """The rows of the store; `save` and `drop` are on disk with the next commit."""

    def __init__(self, store: Store) -> None:
        self._store: Final = store

    def save(self, *key: str, value: object) -> None:
        self._store.save_setting(json.dumps(key), json.dumps(value))

    def drop(self, *key: str) -> None:
        self._store.delete_setting(json.dumps(key))


def read(rows: dict[str, str]) -> dict[str, list[tuple[list[str], Any]]]:
    """What the store recovered, by kind: the rest of each key, and its value. Rows of other writers are left out."""
    found: dict[str, list[tuple[list[str], Any]]] = {}
    for key, value in sorted(rows.items()):
        if key.startswith("["):
            kind, *names = json.loads(key)
            found.setdefault(kind, []).append((names, json.loads(value)))
    return found
