"""Parameters that a worker fills in, and no sender: declared by their default, `inject(…)`, given by a provider.

    def open_session() -> Iterator[Session]:
        with Session(engine) as session:
            yield session

    @work.task
    def charge(order: int, db: Session = inject(open_session), task: TaskContext = inject()) -> None: ...

    charge.send(7)

A provider is a function, plain or async, or a generator that yields once and cleans up behind that. It may itself have parameters
that are injected. This module says what is wanted; tasks/providing gets it. Used by signature and handler.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from functools import cached_property, lru_cache
from typing import Any, Final, Literal, TypeVar, get_args, get_type_hints, overload

import msgspec

from leveret.errors import TaskError
from leveret.tasks.context import TaskContext
from leveret.tasks.message import Message

T = TypeVar("T")
Scope = Literal["task", "process"]
AnyProvider = Callable[..., Any]

ONE: Final = inspect.Parameter.POSITIONAL_OR_KEYWORD
KNOWN_MAX: Final = 1024


class Injected(msgspec.Struct, frozen=True):
    """A parameter's default: what is to be in its place. Without a provider its annotation says so: TaskContext or Message."""

    provider: AnyProvider | None
    scope: Scope

    def __repr__(self) -> str:
        return f"inject({getattr(self.provider, '__name__', self.provider or '')})"


@overload
def inject() -> Any: ...


@overload
def inject(provider: Callable[..., Iterator[T]], *, scope: Scope = ...) -> T: ...


@overload
def inject(provider: Callable[..., AsyncIterator[T]], *, scope: Scope = ...) -> T: ...


@overload
def inject(provider: Callable[..., Awaitable[T]], *, scope: Scope = ...) -> T: ...


@overload
def inject(provider: Callable[..., T], *, scope: Scope = ...) -> T: ...


def inject(provider: AnyProvider | None = None, *, scope: Scope = "task") -> Any:
    """The default of a parameter that the worker fills in; type checkers take it for what the provider gives.

    `provider` is asked for each run of a task, once, however many parameters want it; with `scope="process"` once for each
    worker process, whose end cleans up. What it raises is a failure of the attempt. Without a provider: the running task
    itself, annotated as TaskContext, or its Message. TaskError: it is no function, or no such scope.
    """
    if scope not in get_args(Scope):
        raise TaskError(f"inject(scope={scope!r}), expected 'task' or 'process'")
    if provider is not None and not callable(provider):
        raise TaskError(f"inject({provider!r}): a provider is a function")
    return Injected(provider, scope)


class Provider(msgspec.Struct, frozen=True):
    """What is to be known of a provider's function to ask it."""

    function: AnyProvider
    generates: bool
    is_async: bool
    needs: Needs | None


@lru_cache(KNOWN_MAX)
def provider(function: AnyProvider) -> Provider:
    """TaskError if it cannot be one."""
    generates = inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
    is_async = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
    return Provider(function, generates, is_async, needs_of(function))


class Needs:
    """The parameters of a function that are injected, by name."""

    def __init__(self, function: AnyProvider, wanted: Mapping[str, Injected]) -> None:
        self._function = function
        self.wanted: Final = wanted

    @cached_property
    def kinds(self) -> Mapping[str, Any]:
        """What those are annotated with that no provider gives. Looked up late. TaskError if that is nothing to be given."""
        plain = [name for name, injected in self.wanted.items() if injected.provider is None]
        if not plain:
            return {}
        function: Any = self._function
        is_class = isinstance(self._function, type)
        try:
            hints = get_type_hints(function.__init__ if is_class else function)
        except (NameError, TypeError) as error:
            raise TaskError(f"{_named(self._function)}: its annotations cannot be used: {error}") from error
        for name in plain:
            if hints.get(name) not in (TaskContext, Message):
                raise TaskError(
                    f"{_named(self._function)}: {name}=inject() gives a TaskContext or a Message, as the parameter is "
                    "annotated; for anything else name its provider: inject(provider)"
                )
        return hints

    def check(self, can_wait: bool, scope: Scope = "task") -> None:
        """TaskError for what could never be given to a function that `can_wait`, or that is asked once in a process."""
        if self.kinds and scope == "process":
            raise TaskError(f"{_named(self._function)} is asked once in a process: it can be given no running task")
        for name, injected in self.wanted.items():
            if injected.provider is None:
                continue
            found = provider(injected.provider)
            if found.is_async and not can_wait:
                raise TaskError(
                    f"{_named(self._function)}: the provider of {name!r}, {_named(injected.provider)}, is async, "
                    "and cannot be waited for in a plain function"
                )
            if scope == "process" and injected.scope == "task":
                raise TaskError(
                    f"{_named(self._function)} is asked once in a process, and {name!r} is there for one task only: "
                    'say inject(…, scope="process") there too'
                )
            if found.needs is not None:
                found.needs.check(found.is_async, injected.scope)

    def refuse_missing(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """TaskError if the function, called so by a program, would find a placeholder instead of what is injected."""
        try:
            given = inspect.signature(self._function).bind(*args, **kwargs).arguments
        except TypeError:  # which the call itself tells better
            return
        missing = [name for name in self.wanted if name not in given]
        if missing:
            raise TaskError(
                f"{_named(self._function)} is called without a worker, which would give it {', '.join(missing)}: "
                "pass a value by name"
            )


def needs_of(function: AnyProvider) -> Needs | None:
    """None if nothing is injected. TaskError if it could not be."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):  # a built-in function, say, which declares no such thing
        return None
    wanted = {one.name: one.default for one in parameters if isinstance(one.default, Injected)}
    if not wanted:
        return None
    behind = False
    for one in parameters:
        if one.name in wanted and one.kind is inspect.Parameter.POSITIONAL_ONLY:
            raise TaskError(f"{_named(function)}: {one.name!r} is injected by name, and takes none: move the /")
        if behind and one.name not in wanted and one.kind in (ONE, inspect.Parameter.VAR_POSITIONAL):
            raise TaskError(f"{_named(function)}: {one.name!r} stands behind what is injected: move that to the end")
        behind = behind or (one.name in wanted and one.kind is ONE)
    return Needs(function, wanted)


def for_senders(signature: inspect.Signature) -> inspect.Signature:
    """Without what is injected."""
    parameters = signature.parameters.values()
    if not any(isinstance(one.default, Injected) for one in parameters):
        return signature
    return signature.replace(parameters=[one for one in parameters if not isinstance(one.default, Injected)])


def _named(function: AnyProvider) -> str:
    return getattr(function, "__qualname__", None) or repr(function)
