"""What every method has, and the wire types its fields are annotated with. No codec here: that is wire/methods/codec."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec

Octet = Annotated[int, "octet"]
Short = Annotated[int, "short"]
Long = Annotated[int, "long"]
LongLong = Annotated[int, "longlong"]
Bit = Annotated[bool, "bit"]
ShortStr = Annotated[str, "shortstr"]
LongStr = Annotated[bytes, "longstr"]
Table = Annotated[dict[str, object], "table"]


class Method(msgspec.Struct, frozen=True):
    """Base of all methods. `sent_by` is "client", "server" or "both"."""

    class_id: ClassVar[int]
    method_id: ClassVar[int]
    name: ClassVar[str]
    synchronous: ClassVar[bool] = False
    has_content: ClassVar[bool] = False
    sent_by: ClassVar[str]
