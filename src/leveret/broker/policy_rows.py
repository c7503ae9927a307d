"""What a policy may say: each setting is a row of name, check and how several values of it become one.

Names are those of RabbitMQ's policies; `effective` turns them into the arguments' names, which is what queues and
exchanges understand. Settings of RabbitMQ that have no meaning on one node are accepted and mean nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from leveret.broker.settings import OPERATOR_POLICY

Check = Callable[[Any], bool]
APPLY_TO: Final = ("all", "queues", "classic_queues", "quorum_queues", "streams", "exchanges")


def _whole(least: int | None) -> Check:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and (least is None or value >= least)


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _one_of(*known: object) -> Check:
    return lambda value: value in known and not isinstance(value, bool)


def _anything(value: Any) -> bool:
    return True


def lower(one: Any, other: Any) -> Any:
    return min(one, other)


def lower_limit(one: Any, other: Any) -> Any:
    """Of two delivery limits, where a negative one is none."""
    return max(one, other) if one < 0 or other < 0 else min(one, other)


class Setting(NamedTuple):
    name: str
    check: Check
    what: str
    """RabbitMQ's words for a value that is not one: `X is not a valid …`."""
    lowest: Callable[[Any, Any], Any] | None = None
    """How it goes together with an argument or an operator policy; None: the argument wins."""
    operator: bool = False
    """May an operator policy say it?"""


SETTINGS: Final = {
    row.name: row
    for row in (
        Setting("alternate-exchange", _text, "alternate exchange name"),
        Setting("dead-letter-exchange", _text, "dead letter exchange name"),
        Setting("dead-letter-routing-key", _text, "dead letter routing key"),
        Setting("dead-letter-strategy", _one_of("at-most-once", "at-least-once"), "dead letter strategy"),
        Setting("message-ttl", _whole(0), "message TTL", lower, True),
        Setting("expires", _whole(1), "queue expiry", lower, True),
        Setting("max-length", _whole(0), "maximum length", lower, True),
        Setting("max-length-bytes", _whole(0), "maximum length in bytes", lower, True),
        Setting("max-in-memory-length", _whole(0), "maximum memory in bytes", lower, True),
        Setting("max-in-memory-bytes", _whole(0), "maximum memory in bytes", lower, True),
        Setting("delivery-limit", _whole(None), "delivery limit", lower_limit, True),
        Setting("consumer-timeout", _whole(0), "consumer timeout", lower, True),
        Setting("overflow", _one_of("drop-head", "reject-publish", "reject-publish-dlx"), "overflow value"),
        Setting("queue-mode", _one_of("default", "lazy"), "queue-mode value"),
        Setting("queue-version", _one_of(1, 2), "queue version"),
        Setting("queue-leader-locator", _text, "queue leader locator value"),
        Setting("queue-master-locator", _text, "queue leader locator value"),
        Setting("initial-cluster-size", _whole(0), "cluster size"),
        Setting("target-group-size", _whole(0), "target group size", lower, True),
        Setting("max-age", _text, "max age"),
        Setting("stream-max-segment-size-bytes", _whole(0), "segment size"),
        Setting("ha-mode", _text, "ha-mode"),
        Setting("ha-params", _anything, "ha-params"),
        Setting("ha-sync-mode", _text, "ha-sync-mode"),
        Setting("ha-sync-batch-size", _whole(1), "ha-sync-batch-size"),
        Setting("ha-promote-on-shutdown", _text, "ha-promote-on-shutdown"),
        Setting("ha-promote-on-failure", _text, "ha-promote-on-failure"),
    )
}

_STREAMS: Final = {"max-age", "stream-max-segment-size-bytes", "initial-cluster-size"}
_MIRRORS: Final = {name for name in SETTINGS if name.startswith("ha-")}
NOT_FOR: Final[dict[str, set[str]]] = {
    "classic": {"delivery-limit", "dead-letter-strategy", "target-group-size"} | _STREAMS,
    "quorum": {"queue-mode", "queue-master-locator"} | _MIRRORS | _STREAMS,
}
"""A policy that says one of these is not for queues of that type, with nothing of it."""


def printed(value: Any) -> str:
    """A JSON value as Erlang prints it."""
    if isinstance(value, str):
        return f"<<{json.dumps(value, ensure_ascii=False)}{'' if value.isascii() else '/utf8'}>>"
    if isinstance(value, list):
        return "[" + ",".join(map(printed, value)) + "]"
    if isinstance(value, dict):
        return "#{" + ",".join(f"{printed(key)} => {printed(item)}" for key, item in value.items()) + "}"
    return json.dumps(value)


def check_definition(kind: str, definition: Any) -> str:
    """What is wrong with it, in RabbitMQ's words; empty if nothing is."""
    if not isinstance(definition, dict):
        return f"definition must be a dictionary: {printed(definition)}"
    if not definition:
        return "no policy provided"
    unknown = []
    for name, value in definition.items():
        row = SETTINGS.get(name)
        if row is None or (kind == OPERATOR_POLICY and not row.operator):
            unknown.append(f"{{{printed(name)},{printed(value)}}}")
        elif not row.check(value):
            return f"{printed(value)} is not a valid {row.what}"
    return f"[{','.join(unknown)}] are not recognised policy settings" if unknown else ""


def merged(policy: Mapping[str, Any], operator: Mapping[str, Any]) -> dict[str, Any]:
    """Of numbers the lower one holds; what only one of them says holds."""
    result = {**operator, **policy}
    for name in policy.keys() & operator.keys():
        lowest = SETTINGS[name].lowest
        result[name] = operator[name] if lowest is None else lowest(policy[name], operator[name])
    return dict(sorted(result.items()))


def effective(arguments: Mapping[str, object], definition: Mapping[str, Any]) -> dict[str, object]:
    """Arguments and policies together, named as arguments: an argument wins, but of limits the lower one holds."""
    result = dict(arguments)
    for name, value in definition.items():
        argument = name if name == "alternate-exchange" else f"x-{name}"
        lowest = SETTINGS[name].lowest
        if argument not in result:
            result[argument] = value
        elif lowest is not None:
            result[argument] = lowest(result[argument], value)
    return result
