"""Pydantic's models as arguments and results: written by the model's own serializer, read by its own validation.

Nothing of Pydantic is imported here, nor needed: a program whose annotation names a model has imported it. A model is told by
its method `model_validate_json`. Used by signature, for what msgspec does not know.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any, get_args, get_origin

import msgspec


def is_model(kind: object) -> bool:
    return isinstance(kind, type) and hasattr(kind, "model_validate_json")


def write_model(model: Any) -> msgspec.Raw:
    """So that its own validation takes it: by alias, without computed fields. What is invalid in it is found when it is read."""
    return msgspec.Raw(model.model_dump_json(by_alias=True, round_trip=True, warnings=False).encode())


def read_model(kind: Any, value: Any) -> Any:
    """From the plain values that JSON holds. ValueError if they do not fit, with a line for all that is wrong."""
    try:
        return kind.model_validate_json(msgspec.json.encode(value))
    except ValueError as error:
        raise ValueError(f"{kind.__name__}: {_told(error)}") from None


def _told(error: ValueError) -> str:
    wrong = getattr(error, "errors", None)
    if wrong is None:
        return str(error)
    return "; ".join(_one(one) for one in wrong(include_url=False, include_input=False))


def _one(wrong: dict[str, Any]) -> str:
    place = ".".join(str(part) for part in wrong["loc"])
    return f"{place}: {wrong['msg']}" if place else str(wrong["msg"])


def refuse_unheard(annotation: Any) -> None:
    """TypeError for what Pydantic would hear and msgspec does not: its checks would silently not be made."""
    if "pydantic" not in sys.modules:
        return
    if get_origin(annotation) is Annotated:
        unheard = [one for one in annotation.__metadata__ if type(one).__module__.partition(".")[0] == "pydantic"]
        if unheard:
            raise TypeError(
                f"{type(unheard[0]).__name__} of Pydantic is heard only inside a model: make it a field of one"
            )
    elif hasattr(annotation, "__pydantic_validator__") and not is_model(annotation):
        raise TypeError(f"{annotation.__name__} is a dataclass of Pydantic: make it a BaseModel, whose checks are made")
    for part in get_args(annotation):
        refuse_unheard(part)
