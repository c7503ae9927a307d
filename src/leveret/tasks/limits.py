"""What may be said of a task so that it does not run too often: at once, in a time, twice, or before its turn among tenants.

    @work.task(concurrency=Concurrency(3, key="customer"), rate=Rate(10, per_s=60), unique=Unique("customer", until_done=True))
    def mail(customer: str, text: str) -> None: ...

Each has a `key`, by which messages are told apart: the name of a parameter, or a function that is called with the task's own
arguments; without one there is one limit for the whole task. Senders compute it, and write it into a header, so that workers
(worker/gates) need not read the body. Plain values and their names at the broker; no I/O. Used by workqueue and the worker.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from math import ceil
from typing import Any, Final

import msgspec

from leveret.errors import TaskError
from leveret.tasks.form import Arguments
from leveret.tasks.ladder import word
from leveret.tasks.message import CONCURRENCY_KEY, FAIR_KEY, RATE_KEY
from leveret.tasks.retries import seconds
from leveret.tasks.signature import Signature, write
from leveret.tasks.topology import NAME_BYTES_MAX

Key = str | Callable[..., object] | None

KEY_BYTES_MAX: Final = 255
EXPIRES_MS_MAX: Final = 0xFFFF_FFFF
"""Brokers keep no unused queue longer: 49 days."""

PLACES: Final = "leveret.limit."
RATE: Final = "leveret.rate."
LOCK: Final = "leveret.unique."


class Concurrency(msgspec.Struct, frozen=True):
    """At most `most` of a key run at a time, whatever number of workers there are. Tasks that name the same `name` share it."""

    most: int
    key: Key = None
    name: str = ""

    def __post_init__(self) -> None:
        if self.most < 1:
            raise TaskError(f"Concurrency({self.most}): at least one has to be able to run")


class Rate(msgspec.Struct, frozen=True):
    """At most `most` of a key begin in any `per_s` seconds, wherever the window is laid. Each new attempt counts."""

    most: int
    per_s: float = 1.0
    key: Key = None
    name: str = ""

    def __post_init__(self) -> None:
        if self.most < 1:
            raise TaskError(f"Rate({self.most}): at least one has to be able to run")
        if not 1 <= self.per_ms <= EXPIRES_MS_MAX // 2:
            raise TaskError(f"per_s={self.per_s:g}: expected between 0.001 and {EXPIRES_MS_MAX // 2000} s")

    @property
    def per_ms(self) -> int:
        return ceil(self.per_s * 1000) if math.isfinite(self.per_s) else 0

    @property
    def pace_s(self) -> float:
        """Between two, if they come evenly."""
        return self.per_s / self.most


class Unique(msgspec.Struct, frozen=True):
    """One of a key is sent: again only after `for_s`, whatever became of the first; or, `until_done`, once that has ended for
    good. A worker that never comes back with it, or a sender that dies while it sends, keeps it for `kept_s` at most.
    """

    key: Key = None
    for_s: float | timedelta | None = None
    until_done: bool = False
    kept_s: float | timedelta = 24 * 3600

    def __post_init__(self) -> None:
        if (self.for_s is None) is not self.until_done:
            raise TaskError("Unique(…) is either for_s=… seconds, or until_done=True")
        if self.lasting_ms(0) < 1:
            raise TaskError("Unique(…): the time is over as soon as it begins")
        self._check(0)

    def lasting_ms(self, delay_ms: int) -> int:
        """Of a task that is sent with such a delay."""
        return ceil(seconds(self.kept_s if self.for_s is None else self.for_s) * 1000) + delay_ms

    def _check(self, delay_ms: int) -> None:
        if self.lasting_ms(delay_ms) > EXPIRES_MS_MAX:
            raise TaskError(f"Unique(…): no broker keeps it longer than {EXPIRES_MS_MAX // 1000} s")

    def lock(self, task: str, key: str, delay_ms: int) -> Lock:
        """TaskError if the delay makes it too long."""
        self._check(delay_ms)
        return Lock(LOCK + _digest(f"{task}\0{key}")[:32], self.lasting_ms(delay_ms), self.until_done)


class Lock(msgspec.Struct, frozen=True):
    """What only one message has: see tasks/locks. `until_done`: its worker gives it back.

    Its name is short, for the broker's answer that tells who has it takes 255 octets at most.
    """

    name: str
    kept_ms: int
    until_done: bool = True


class Limits(msgspec.Struct, frozen=True):
    """All that is said of one task. `fair` is the key by which tenants take turns."""

    concurrency: Concurrency | None = None
    rate: Rate | None = None
    unique: Unique | None = None
    fair: Key = None

    def __bool__(self) -> bool:
        """Whether anything is said."""
        if self.concurrency is not None or self.rate is not None:
            return True
        return self.unique is not None or self.fair is not None

    def check(self, task: str, signature: Signature) -> None:
        """TaskError if one of the keys is no parameter."""
        keys = [limit.key for limit in (self.concurrency, self.rate, self.unique) if limit is not None]
        for key in (*keys, self.fair):
            if isinstance(key, str) and key not in signature.names:
                raise TaskError(_no_parameter(task, key))

    def headers(self, task: str, signature: Signature, body: bytes) -> dict[str, object]:
        """What its messages say of their keys. TaskError: see key_of."""
        wanted: list[tuple[str, Key]] = []
        if self.concurrency is not None and self.concurrency.key is not None:
            wanted.append((CONCURRENCY_KEY, self.concurrency.key))
        if self.rate is not None and self.rate.key is not None:
            wanted.append((RATE_KEY, self.rate.key))
        if self.fair is not None:
            wanted.append((FAIR_KEY, self.fair))
        return {name: key_of(key, task, signature, body) for name, key in wanted}


NONE: Final = Limits()


# ---- keys


def key_of(key: Key, task: str, signature: Signature, body: bytes) -> str:
    """The key of the call that `body` is: text as it is, other values as their JSON, and what is too long by its hash. Empty
    without a key. TaskError if there is no such parameter, or its value has no form in JSON.
    """
    return "" if key is None else key_in(key, task, signature, signature.decode(body))


def key_in(key: str | Callable[..., object], task: str, signature: Signature, arguments: Arguments) -> str:
    """As key_of, of arguments that were read."""
    args, kwargs = arguments
    if callable(key):
        return _text(key(*args, **kwargs))
    bound = signature.bind(args, kwargs)
    if key not in bound.arguments:
        raise TaskError(_no_parameter(task, key))
    return _text(bound.arguments[key])


def _no_parameter(task: str, key: str) -> str:
    return f"task {task!r} has no parameter {key!r} to be the key of a limit"


def _text(value: Any) -> str:
    written = write(value)
    text = msgspec.json.decode(written) if written.startswith(b'"') else written.decode()
    return text if len(text.encode()) <= KEY_BYTES_MAX else f"sha256={_digest(text)}"


def named(prefix: str, *words: str) -> str:
    """A queue's name: `prefix`, and each of the words as one word of ASCII; if that is too long the hash of all of it."""
    name = prefix + ".".join(word(one) for one in words)
    return name if len(name.encode()) <= NAME_BYTES_MAX else f"{prefix}={_digest(name)}"


def _digest(text: str) -> str:
    from hashlib import sha256  # which loads OpenSSL, and few tasks have limits

    return sha256(text.encode()).hexdigest()
