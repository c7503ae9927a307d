"""A function's parameters and their types: binds a call, writes it as JSON, and reads it back into those types.

What msgspec reads and writes may be annotated: numbers, text, bytes, datetime, UUID, Decimal, Enum, dataclasses,
Structs, TypedDict, NamedTuple, collections, unions of these; and paths. No pickle, ever. Used by task.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import PurePath
from typing import Any, Final, get_type_hints

import msgspec

from leveret.errors import TaskError
from leveret.tasks.message import Call, read_call

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
Decoder = msgspec.json.Decoder[Any]


def _write_other(value: Any) -> Any:
    if isinstance(value, PurePath):
        return str(value)
    raise NotImplementedError(f"{type(value).__qualname__} has no form in JSON: send a dataclass, or plain values")


def _read_other(kind: type, value: Any) -> Any:
    if isinstance(kind, type) and issubclass(kind, PurePath) and isinstance(value, str):
        return kind(value)
    raise NotImplementedError(f"{kind!r} cannot be read from JSON: annotate with a dataclass, or plain types")


_encoder: Final = msgspec.json.Encoder(enc_hook=_write_other)


def write(value: Any) -> bytes:
    """As JSON. TaskError if it has no form there."""
    try:
        return _encoder.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError, NotImplementedError) as error:
        raise TaskError(f"{type(value).__qualname__} cannot be written as JSON: {error}") from error


class Signature:
    """`name` is the task's, for messages. Annotations are looked up late: they may name what is defined below."""

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        self._function = function
        self._name = name
        try:
            self._signature: Final = inspect.signature(function)
        except (ValueError, TypeError) as error:
            raise TaskError(f"task {name!r}: what it is made of tells no parameters: {error}") from None

    @cached_property
    def decoders(self) -> Mapping[str, Decoder]:
        """Per parameter. TaskError if an annotation means nothing that can be read."""
        try:
            hints = get_type_hints(self._function, include_extras=True)
            return {
                name: msgspec.json.Decoder(hints.get(name, Any), dec_hook=_read_other)
                for name in self._signature.parameters
            }
        except (NameError, TypeError, ValueError) as error:
            raise TaskError(
                f"task {self._name!r}: its annotations cannot be used: {error}; they have to be importable "
                "when the program runs, and of types msgspec knows"
            ) from error

    @cached_property
    def _result(self) -> Decoder:
        hints = get_type_hints(self._function, include_extras=True)
        return msgspec.json.Decoder(hints.get("return", Any), dec_hook=_read_other)

    def read_result(self, value: bytes) -> Any:
        """What the function returned, from JSON to the annotated type. TaskError if it does not fit."""
        try:
            return self._result.decode(value)
        except (msgspec.MsgspecError, RecursionError, NotImplementedError, NameError, TypeError) as error:
            raise TaskError(f"task {self._name!r}: its result does not fit its annotation: {error}") from error

    def encode(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """The body of a message that calls the function so. TaskError if the function would not take it."""
        try:
            self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TaskError(f"task {self._name!r} is not called so: {error}; it takes {self._signature}") from None
        try:
            body = write({"args": args, "kwargs": kwargs})
        except TaskError as error:
            raise TaskError(f"task {self._name!r}: an argument cannot be written: {error}") from error
        # Read back at once: what the worker could not take is better refused here, where the mistake is.
        self.decode(body)
        return body

    def decode(self, body: bytes) -> Arguments:
        """The arguments a body holds, in the annotated types. TaskError if they do not fit."""
        decoders = self.decoders
        try:
            call = read_call(body)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise TaskError(f"task {self._name!r}: the body is not the JSON of a call: {error}") from None
        bound = self._bind(call)
        for name, raw in bound.arguments.items():
            bound.arguments[name] = self._read(name, raw, decoders[name])
        return bound.args, bound.kwargs

    def _bind(self, call: Call) -> inspect.BoundArguments:
        try:
            return self._signature.bind(*call.args, **call.kwargs)
        except TypeError as error:
            raise TaskError(f"task {self._name!r} takes {self._signature}: {error}") from None

    def _read(self, name: str, raw: Any, decoder: Decoder) -> Any:
        kind = self._signature.parameters[name].kind
        try:
            if kind is inspect.Parameter.VAR_POSITIONAL:
                return tuple(decoder.decode(one) for one in raw)
            if kind is inspect.Parameter.VAR_KEYWORD:
                return {key: decoder.decode(one) for key, one in raw.items()}
            return decoder.decode(raw)
        except (msgspec.MsgspecError, RecursionError, NotImplementedError) as error:
            raise TaskError(f"task {self._name!r}: argument {name!r} does not fit: {error}") from None
