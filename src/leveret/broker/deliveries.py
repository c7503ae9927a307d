"""What a channel has delivered and nobody has acknowledged, by delivery tag and in that order. Used by broker/channel.

In blocks: nothing in here, however much it holds, ever takes long for one message's sake.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from leveret.broker.message import Message

BLOCK_BITS: Final = 12

Block = dict[int, "Message"]
"""By their tags, in order; a power of two of them at most."""


class Deliveries:
    def __init__(self) -> None:
        self.count: int = 0
        # By the upper bits of the tags, in order; the newest block, where most comes and goes, is at hand.
        self._blocks: dict[int, dict[int, Message]] = {}
        self._newest: dict[int, Message] = {}
        self._newest_number: int = -1
        self._newest_last: int = -1
        # No tag below is in any of them.
        self._lowest: int = 1

    def put(self, tag: int, message: Message) -> None:
        """Tags only grow."""
        if tag > self._newest_last:
            self._open(tag)
        self._newest[tag] = message
        self.count += 1

    def _open(self, tag: int) -> None:
        """A block for the tag and those that follow."""
        if not self._newest:
            self._blocks.pop(self._newest_number, None)
        self._newest = {}
        self._newest_number = tag >> BLOCK_BITS
        self._newest_last = (self._newest_number + 1 << BLOCK_BITS) - 1
        self._blocks[self._newest_number] = self._newest

    def pop(self, tag: int) -> Message | None:
        message = self._newest.pop(tag, None)
        if message is None:
            message = self._pop_older(tag)
            if message is None:
                return None
        self.count -= 1
        return message

    def _pop_older(self, tag: int) -> Message | None:
        number = tag >> BLOCK_BITS
        block = self._blocks.get(number)
        if block is None:
            return None
        message = block.pop(tag, None)
        if not block and number != self._newest_number:
            del self._blocks[number]
        return message

    def pop_to(self, tag: int) -> list[Block]:
        """Those up to `tag`, which is one of them, the oldest first; 0: all. A tag is passed once: amortised O(1)."""
        taken: list[Block] = []
        last = tag >> BLOCK_BITS
        for number in list(self._blocks):
            if tag and number >= last:
                break
            taken.append(self._blocks.pop(number))
        if tag:
            taken.append(self._pop_within(last, tag))
        else:
            self._newest = {}
            self._newest_number = self._newest_last = -1
        for block in taken:
            self.count -= len(block)
        return taken

    def _pop_within(self, number: int, tag: int) -> Block:
        taken: Block = {}
        block = self._blocks.get(number)
        if block is not None:
            for one in range(max(self._lowest, number << BLOCK_BITS), tag + 1):
                message = block.pop(one, None)
                if message is not None:
                    taken[one] = message
            if not block and number != self._newest_number:
                del self._blocks[number]
        self._lowest = max(self._lowest, tag + 1)
        return taken

    def put_back(self, blocks: list[Block]) -> None:
        """Under the tags that they had."""
        for taken in blocks:
            for tag, message in taken.items():
                self._blocks.setdefault(tag >> BLOCK_BITS, {})[tag] = message
                self._lowest = min(self._lowest, tag)
            self.count += len(taken)
        self._blocks = {
            number: dict(sorted(block.items(), key=_tag)) for number, block in sorted(self._blocks.items(), key=_number)
        }
        self._newest_number = -1 if not self._blocks else max(self._blocks)
        self._newest_last = (self._newest_number + 1 << BLOCK_BITS) - 1
        self._newest = self._blocks.get(self._newest_number, {})

    def blocks(self) -> list[dict[int, Message]]:
        """To look at, in order."""
        return list(self._blocks.values())

    def oldest(self, most: int) -> list[Message]:
        """The first of them, as many as asked for."""
        found: list[Message] = []
        for block in self._blocks.values():
            if len(found) >= most:
                break
            found.extend(block.values())
        return found[:most]

    def __contains__(self, tag: int) -> bool:
        block = self._blocks.get(tag >> BLOCK_BITS)
        return block is not None and tag in block


def _tag(item: tuple[int, Message]) -> int:
    return item[0]


def _number(item: tuple[int, dict[int, Message]]) -> int:
    return item[0]
