"""A function's parameters and their types: binds a call, writes it as JSON, and reads it back into those types.

What msgspec reads and writes may be annotated: numbers, text, bytes, datetime, UUID, Decimal, Enum, dataclasses,
Structs, TypedDict, NamedTuple, collections, unions of these; and paths, and models of Pydantic. No pickle, ever. Used by task.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import PurePath
from typing import Any, Final, get_type_hints

import msgspec

from leveret.errors import TaskError
from leveret.tasks.form import Arguments, Form, read_other
from leveret.tasks.injection import for_senders
from leveret.tasks.message import Call, read_call
from leveret.tasks.models import is_model, refuse_unheard, write_model

Decoder = msgspec.json.Decoder[Any]

LATER: Final = object()
"""Stands for an argument that is not known yet."""


def _write_other(value: Any) -> Any:
    if isinstance(value, PurePath):
        return str(value)
    if is_model(type(value)):
        return write_model(value)
    raise NotImplementedError(f"{type(value).__qualname__} has no form in JSON: send a dataclass, or plain values")


def _decoder(annotation: Any) -> Decoder:
    refuse_unheard(annotation)
    return msgspec.json.Decoder(annotation, dec_hook=read_other)


_encoder: Final = msgspec.json.Encoder(enc_hook=_write_other)


class Unwritable(msgspec.Struct, frozen=True):
    """Stands for a value of another process that has no form in JSON: `text` is why."""

    text: str


def write(value: Any) -> bytes:
    """As JSON. TaskError if it has no form there."""
    if isinstance(value, Unwritable):
        raise TaskError(value.text)
    try:
        return _encoder.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError, NotImplementedError) as error:
        raise TaskError(f"{type(value).__qualname__} cannot be written as JSON: {error}") from error


def _read_one(raw: Any, decoder: Decoder) -> Any:
    return raw if raw is LATER else decoder.decode(raw)


class Signature:
    """`name` is the task's, for messages. Annotations are looked up late: they may name what is defined below."""

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        self._function = function
        self._name = name
        try:
            self._signature: Final = for_senders(inspect.signature(function))
        except (ValueError, TypeError) as error:
            raise TaskError(f"task {name!r}: what it is made of tells no parameters: {error}") from None

    @property
    def names(self) -> Mapping[str, inspect.Parameter]:
        return self._signature.parameters

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> inspect.BoundArguments:
        """With the defaults of what was left out. TypeError if the function would not take them."""
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound

    @cached_property
    def decoders(self) -> Mapping[str, Decoder]:
        """Per parameter. TaskError if an annotation means nothing that can be read."""
        try:
            hints = get_type_hints(self._function, include_extras=True)
            return {name: _decoder(hints.get(name, Any)) for name in self._signature.parameters}
        except (NameError, TypeError, ValueError) as error:
            raise TaskError(
                f"task {self._name!r}: its annotations cannot be used: {error}; they have to be importable "
                "when the program runs, and of types msgspec knows"
            ) from error

    @cached_property
    def _result(self) -> Decoder:
        hints = get_type_hints(self._function, include_extras=True)
        return _decoder(hints.get("return", Any))

    def read_result(self, value: bytes) -> Any:
        """What the function returned, from JSON to the annotated type. TaskError if it does not fit."""
        try:
            return self._result.decode(value)
        except (msgspec.MsgspecError, RecursionError, NotImplementedError, NameError, TypeError) as error:
            raise TaskError(f"task {self._name!r}: its result does not fit its annotation: {error}") from error

    @cached_property
    def _form(self) -> Form | None:
        """How most bodies are read; None for a function that takes any number of arguments."""
        hints = get_type_hints(self._function, include_extras=True)
        return Form.of(list(self._signature.parameters.values()), hints)

    def encode(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """The body of a message that calls the function so. TaskError if the function would not take it."""
        try:
            body = self._written(args, kwargs)
        except TaskError:
            self._check_call(args, kwargs)  # what is called wrongly is told first
            raise
        # Read back at once: what the worker could not take is better refused here, where the mistake is.
        if self._read_quickly(body) is None:
            self._check_call(args, kwargs)
            self._read_closely(body)
        return body

    def _check_call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        try:
            self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TaskError(f"task {self._name!r} is not called so: {error}; it takes {self._signature}") from None

    def encode_partial(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """As `encode`, but the first argument is to come: it is left out of the body."""
        try:
            self._signature.bind(LATER, *args, **kwargs)
        except TypeError as error:
            raise TaskError(
                f"task {self._name!r} is not called so behind a first argument that is to come: {error}; "
                f"it takes {self._signature}"
            ) from None
        body = self._written(args, kwargs)
        call = read_call(body)
        self._decoded(Call([LATER, *call.args], call.kwargs))  # type: ignore[list-item]
        return body

    def _written(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        try:
            return write({"args": args, "kwargs": kwargs})
        except TaskError as error:
            raise TaskError(f"task {self._name!r}: an argument cannot be written: {error}") from error

    def decode(self, body: bytes) -> Arguments:
        """The arguments a body holds, in the annotated types. TaskError if they do not fit."""
        return self._read_quickly(body) or self._read_closely(body)

    def _read_quickly(self, body: bytes) -> Arguments | None:
        """None if it does not fit; then, and only then, reading it closely tells why."""
        _ = self.decoders
        return None if self._form is None else self._form.read(body)

    def _read_closely(self, body: bytes) -> Arguments:
        try:
            call = read_call(body)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise TaskError(f"task {self._name!r}: the body is not the JSON of a call: {error}") from None
        return self._decoded(call)

    def _decoded(self, call: Call) -> Arguments:
        decoders = self.decoders
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
                return tuple(_read_one(one, decoder) for one in raw)
            if kind is inspect.Parameter.VAR_KEYWORD:
                return {key: decoder.decode(one) for key, one in raw.items()}
            return _read_one(raw, decoder)
        except (msgspec.MsgspecError, RecursionError, NotImplementedError) as error:
            raise TaskError(f"task {self._name!r}: argument {name!r} does not fit: {error}") from None
