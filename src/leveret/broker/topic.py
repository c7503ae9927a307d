"""A trie of topic patterns: finds all patterns that match a routing key in time that does not grow with their number.

Words are separated by dots and may be empty; `*` stands for one word, `#` for any number of them, also none.
"""

from __future__ import annotations

from typing import Final

Identity = tuple[str, str, str, str]


class Node:
    """`many`: this is a `#`, which takes words without end. `step`: when it was reached last."""

    def __init__(self, many: bool) -> None:
        self.many: Final = many
        self.step: int = 0
        self.children: Final[dict[str, Node]] = {}
        self.values: Final[dict[Identity, object]] = {}


class TopicTrie:
    def __init__(self) -> None:
        self._root: Final = Node(False)
        self._step: int = 0

    def insert(self, pattern: str, identity: Identity, value: object) -> None:
        node = self._root
        for word in words(pattern):
            child = node.children.get(word)
            if child is None:
                child = node.children[word] = Node(word == "#")
            node = child
        node.values[identity] = value

    def erase(self, pattern: str, identity: Identity) -> None:
        """Remove a value that was inserted, and the branches that lead nowhere then."""
        path: list[tuple[Node, str]] = []
        node = self._root
        for word in words(pattern):
            path.append((node, word))
            node = node.children[word]
        del node.values[identity]
        for parent, word in reversed(path):
            child = parent.children[word]
            if child.children or child.values:
                return
            del parent.children[word]

    def matches(self, key: str) -> list[object]:
        """The values of all patterns that match; one value may come more than once."""
        found: list[object] = []
        # Every node reached after each number of words, each once, so that several `#` do not multiply the work.
        reached: list[Node] = []
        self._step += 1
        _reach(self._root, reached, self._step)
        for word in words(key):
            after: list[Node] = []
            self._step += 1
            for node in reached:
                _follow(node, word, after, self._step)
            if not after:
                return found
            reached = after
        for node in reached:
            found.extend(node.values.values())
        return found


def words(text: str) -> list[str]:
    return text.split(".") if text else []


def _reach(node: Node, reached: list[Node], step: int) -> None:
    """The node is reached, and with it what `#` reaches with no word. Only a `#` can be reached in two ways."""
    while not node.many or node.step != step:
        node.step = step
        reached.append(node)
        hashed = node.children.get("#")
        if hashed is None:
            return
        node = hashed


def _follow(node: Node, word: str, after: list[Node], step: int) -> None:
    """Where one more word leads from the node. A `#` node may take the word and stay."""
    children = node.children
    if children:
        child = children.get(word)
        if child is not None and word != "#" and word != "*":
            _reach(child, after, step)
        star = children.get("*")
        if star is not None:
            _reach(star, after, step)
    if node.many:
        _reach(node, after, step)
