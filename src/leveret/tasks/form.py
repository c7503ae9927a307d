"""The body of a task as one typed whole, read in a single step: positional arguments as an array, named ones as an object.

It knows functions whose parameters can be counted, and tells of a body only whether it fits. Used by signature, which reads
closely what does not fit, to say why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import Parameter
from pathlib import PurePath
from typing import Any, Final, Self

import msgspec
from msgspec.structs import astuple

from leveret.tasks.models import is_model, read_model

Arguments = tuple[tuple[Any, ...], dict[str, Any]]

POSITIONAL: Final = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
NAMED: Final = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


class _Nothing:
    """Stands for an argument that was not given."""


NOTHING: Final = _Nothing()


def read_other(kind: type, value: Any) -> Any:
    """What msgspec does not know: paths, and models of Pydantic."""
    if isinstance(kind, type) and issubclass(kind, PurePath) and isinstance(value, str):
        return kind(value)
    if is_model(kind):
        return read_model(kind, value)
    raise NotImplementedError(f"{kind!r} cannot be read from JSON: annotate with a dataclass, or plain types")


class Form:
    def __init__(self, parameters: Sequence[Parameter], hints: Mapping[str, Any]) -> None:
        positional = [one for one in parameters if one.kind in POSITIONAL]
        named = [one for one in parameters if one.kind in NAMED]
        args, kwargs = _struct("Args", positional, hints, array=True), _struct("Kwargs", named, hints, array=False)
        members = [
            ("args", args, msgspec.field(default_factory=args)),
            ("kwargs", kwargs, msgspec.field(default_factory=kwargs)),
        ]
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(
            msgspec.defstruct("Body", members), dec_hook=read_other
        )
        self._parameters = parameters
        self._required = sum(one.default is Parameter.empty for one in positional)
        self._only_named = any(one.kind is Parameter.KEYWORD_ONLY and one.default is Parameter.empty for one in named)
        self._names = [one.name for one in named]

    @classmethod
    def of(cls, parameters: Sequence[Parameter], hints: Mapping[str, Any]) -> Self | None:
        """None if any number of arguments may come."""
        if any(one.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD) for one in parameters):
            return None
        return cls(parameters, hints)

    def read(self, body: bytes) -> Arguments | None:
        """None if it does not fit."""
        try:
            call = self._decoder.decode(body)
        except Exception:  # a class of the program's may raise anything while it is made
            return None
        args, named = astuple(call.args), astuple(call.kwargs)
        while args and args[-1] is NOTHING:
            args = args[:-1]
        for value in named:
            if value is not NOTHING:
                pairs = zip(self._names, named, strict=True)
                return self._bound(args, {name: value for name, value in pairs if value is not NOTHING})
        return None if len(args) < self._required or self._only_named else (args, {})

    def _bound(self, args: tuple[Any, ...], given: dict[str, Any]) -> Arguments | None:
        """As inspect.Signature.bind has it: by position as far as there is no gap, then by name."""
        bound, gap = list(args), False
        for place, one in enumerate(self._parameters):
            if place < len(args):
                if one.name in given:
                    return None
            elif one.name not in given or one.kind is Parameter.POSITIONAL_ONLY:
                if one.default is Parameter.empty:
                    return None
                gap = True
            elif not gap and one.kind is not Parameter.KEYWORD_ONLY:
                bound.append(given.pop(one.name))
        return tuple(bound), given


def _struct(
    name: str, parameters: Sequence[Parameter], hints: Mapping[str, Any], *, array: bool
) -> type[msgspec.Struct]:
    fields = [(f"p{place}", hints.get(one.name, Any), NOTHING) for place, one in enumerate(parameters)]
    names = {f"p{place}": one.name for place, one in enumerate(parameters)}
    return msgspec.defstruct(name, fields, array_like=array, rename=names, forbid_unknown_fields=True)
