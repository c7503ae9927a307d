"""A trie of topic patterns: finds all patterns that match a routing key in time that does not grow with their number.

Words are separated by dots and may be empty; `*` stands for one word, `#` for any number of them, also none.
"""

from __future__ import annotations

from typing import Final

Identity = tuple[str, str, str, str]


class Node:
    """`many`: this is a `#`, which takes words without end."""

    def __init__(self, many: bool) -> None:
        self.many: Final = many
        self.children: Final[dict[str, Node]] = {}
        self.values: Final[dict[Identity, object]] = {}


class TopicTrie:
    def __init__(self) -> None:
        self._root: Final = Node(False)

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
        # Every node reached after each number of words; a set, so that several `#` do not multiply the work.
        reached: dict[int, Node] = {}
        _reach(self._root, reached)
        for word in words(key):
            after: dict[int, Node] = {}
            for node in reached.values():
                _step(node, word, after)
            reached = after
        for node in reached.values():
            found.extend(node.values.values())
        return found


def words(text: str) -> list[str]:
    return text.split(".") if text else []


def _reach(node: Node, reached: dict[int, Node]) -> None:
    """The node is reached, and with it what `#` reaches with no word."""
    while id(node) not in reached:
        reached[id(node)] = node
        hashed = node.children.get("#")
        if hashed is None:
            return
        node = hashed


def _step(node: Node, word: str, after: dict[int, Node]) -> None:
    """Where one more word leads from the node. A `#` node may take the word and stay."""
    child = node.children.get(word)
    if child is not None and word != "#" and word != "*":
        _reach(child, after)
    star = node.children.get("*")
    if star is not None:
        _reach(star, after)
    if node.many:
        _reach(node, after)
