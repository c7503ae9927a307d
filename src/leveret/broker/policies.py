"""Policies and operator policies of one virtual host: settings for all queues and exchanges whose names match a pattern.

Of the policies that match, the one of the highest priority holds, and so for operator policies; broker/policy_rows
says what becomes of both and of the arguments. Changes reach existing queues and exchanges at once, through `configure`.
Called by broker/vhost for what is new, and by management.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

from leveret.broker.arguments import queue_type
from leveret.broker.exchange import Exchange
from leveret.broker.patterns import Pattern, pattern
from leveret.broker.policy_rows import APPLY_TO, NOT_FOR, check_definition, effective, merged, printed
from leveret.broker.settings import OPERATOR_POLICY, POLICY, Settings
from leveret.errors import InvalidSetting

if TYPE_CHECKING:
    from leveret.broker.queue import Queue


class Policy(NamedTuple):
    name: str
    pattern: str
    apply_to: str
    priority: int | float
    definition: dict[str, Any]
    compiled: Pattern

    def covers(self, target: Queue | Exchange) -> bool:
        if isinstance(target, Exchange):
            return self.apply_to in ("all", "exchanges") and self.compiled.matches(target.name)
        kind = queue_type(target.arguments)
        if self.apply_to not in ("all", "queues", f"{kind}_queues"):
            return False
        return not (self.definition.keys() & NOT_FOR[kind]) and self.compiled.matches(target.name)

    def view(self, vhost: str) -> dict[str, Any]:
        """As RabbitMQ's HTTP API and definitions write it."""
        return {"vhost": vhost, "name": self.name, **self.value()}

    def value(self) -> dict[str, Any]:
        return {
            "pattern": self.pattern,
            "apply-to": self.apply_to,
            "definition": self.definition,
            "priority": self.priority,
        }


def make_policy(kind: str, name: str, given: dict[str, Any]) -> Policy:
    """Out of what an administrator gave: pattern and definition, apply-to and priority. InvalidSetting says what is wrong."""
    missing = [key for key in ("pattern", "definition") if key not in given]
    if missing:
        raise InvalidSetting("[" + ",".join(f"{{key_missing,{key}}}" for key in missing) + "]")
    text, priority = given["pattern"], given.get("priority", 0)
    apply_to = given.get("apply-to", "all")
    if not isinstance(priority, (int, float)) or isinstance(priority, bool):
        invalid(f"priority should be a number, actually was {printed(priority)}")
    if not isinstance(text, str):
        invalid(f"pattern should be a binary but was {printed(text)}")
    if apply_to not in APPLY_TO:
        invalid(
            f"apply-to '{apply_to}' unrecognised; should be one of: 'queues', 'classic_queues',  'quorum_queues', "
            "'streams', 'exchanges', or 'all'"
        )
    try:
        compiled = pattern(text)
    except InvalidSetting as error:
        invalid(str(error.reason))
    fault = check_definition(kind, given["definition"])
    if fault:
        invalid(fault)
    return Policy(name, text, apply_to, priority, given["definition"], compiled)


def invalid(text: str) -> NoReturn:
    raise InvalidSetting(f"Validation failed\n\n{text}\n")


class Policies:
    def __init__(self, vhost: str, settings: Settings) -> None:
        self._vhost: Final = vhost
        self._settings: Final = settings
        self._by_kind: Final[dict[str, dict[str, Policy]]] = {POLICY: {}, OPERATOR_POLICY: {}}
        self._ordered: Final[dict[str, list[Policy]]] = {POLICY: [], OPERATOR_POLICY: []}

    def of(self, kind: str) -> dict[str, Policy]:
        """The policies (POLICY) or operator policies (OPERATOR_POLICY) by name."""
        return self._by_kind[kind]

    def put(self, kind: str, name: str, given: dict[str, Any]) -> bool:
        """True if it is new. The caller applies it to what there is."""
        policy = make_policy(kind, name, given)
        new = name not in self._by_kind[kind]
        self._set(kind, policy)
        self._settings.save(kind, self._vhost, name, value=policy.value())
        return new

    def remove(self, kind: str, name: str) -> None:
        """KeyError if there is none."""
        del self._by_kind[kind][name]
        self._order(kind)
        self._settings.drop(kind, self._vhost, name)

    def forget_all(self) -> None:
        for kind, policies in self._by_kind.items():
            for name in list(policies):
                self.remove(kind, name)

    def restore(self, kind: str, name: str, value: dict[str, Any]) -> None:
        self._set(kind, make_policy(kind, name, value))

    def _set(self, kind: str, policy: Policy) -> None:
        self._by_kind[kind][policy.name] = policy
        self._order(kind)

    def _order(self, kind: str) -> None:
        self._ordered[kind] = sorted(self._by_kind[kind].values(), key=lambda policy: (-policy.priority, policy.name))

    def _match(self, kind: str, target: Queue | Exchange) -> Policy | None:
        return next((policy for policy in self._ordered[kind] if policy.covers(target)), None)

    # ---- applying

    def apply(self, target: Queue | Exchange) -> None:
        """Let the policies that match now hold; nothing is touched if they are those that did."""
        if not target.name and isinstance(target, Exchange):
            return
        policy, operator = self._match(POLICY, target), self._match(OPERATOR_POLICY, target)
        if policy is target.policy and operator is target.operator_policy:
            return
        target.policy, target.operator_policy = policy, operator
        target.configure(effective(target.arguments, definition(target)))

    def apply_to_all(self, targets: Iterable[Queue | Exchange]) -> None:
        for target in list(targets):
            self.apply(target)


def definition(target: Queue | Exchange) -> dict[str, Any]:
    """What its policy and its operator policy together ask for."""
    policy, operator = target.policy, target.operator_policy
    return merged({} if policy is None else policy.definition, {} if operator is None else operator.definition)


def policy_name(policy: Policy | None) -> str | None:
    return None if policy is None else policy.name
