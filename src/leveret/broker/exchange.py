"""Exchanges: one tiny class per type, each answering which destinations a routing key leads to.

Bindings lead to queues or to other exchanges. Declared by broker/vhost, asked by broker/router. Compiled; headers tables
are only decoded if a headers exchange is on the way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, cast

from leveret.broker.headers import HeaderMatch, check_match
from leveret.broker.topic import TopicTrie

if TYPE_CHECKING:
    from leveret.broker.confirms import Confirms
    from leveret.broker.peer import Peer
    from leveret.broker.policies import Policy
    from leveret.broker.router import Headers
    from leveret.wire.scan import Scan

Identity = tuple[str, str, str, str]
"""Kind and name of the destination, key, arguments."""


class Destination:
    """What a binding or a name leads to: an exchange, or a place that takes messages, which mostly is a queue.

    `incoming`: the bindings that lead here.
    """

    def __init__(self, kind: str, name: str) -> None:
        self.kind: Final = kind
        self.name: Final = name
        self.incoming: Final[dict[tuple[str, str, str], Binding]] = {}
        # The policies that hold for it (broker/policies).
        self.policy: Policy | None = None
        self.operator_policy: Policy | None = None

    def publish(
        self,
        address: bytes,
        header: bytes,
        body: bytes,
        scan: Scan,
        expiration_ms: int,
        confirms: Confirms | None,
        sequence: int,
        peer: Peer | None,
    ) -> None:
        """Take a message; `expiration_ms` is its own limit or -1. Confirms `sequence` once it is safe.

        `peer` sent it; nobody did if the broker moves it here itself.
        """
        raise NotImplementedError


class Binding:
    """From an exchange to a destination; key and arguments are part of its identity."""

    def __init__(self, source: Exchange, destination: Destination, key: str, arguments: dict[str, object]) -> None:
        self.source: Final = source
        self.destination: Final = destination
        self.key: Final = key
        self.arguments: Final = arguments
        written = repr(sorted(arguments.items(), key=_first)) if arguments else ""
        self.identity: Final = (destination.kind, destination.name, key, written)
        self.identity_from_source: Final = (source.name, key, written)


def _first(item: tuple[str, object]) -> str:
    return item[0]


class Exchange(Destination):
    """An exchange as declared, with its bindings. Subclasses keep an index of them and answer `matches`."""

    def __init__(
        self, name: str, type: str, durable: bool, auto_delete: bool, internal: bool, arguments: dict[str, object]
    ) -> None:
        super().__init__("exchange", name)
        self.type: Final = type
        self.durable: Final = durable
        self.auto_delete: Final = auto_delete
        self.internal: Final = internal
        self.arguments: Final = arguments
        self.bindings: Final[dict[Identity, Binding]] = {}
        # Messages that clients published to it, and the queues that took them.
        self.published_in: int = 0
        self.published_out: int = 0
        # Who hears in this process of all that is published here (broker/ear); no binding, and nothing that shows.
        self.ear: Destination | None = None
        # What its arguments and policies together ask for: set by `configure`.
        self.alternate: str = ""
        # Of a message's further keys (CC, BCC) it takes no notice.
        self.one_key: bool = False
        self.configure(arguments)

    def configure(self, settings: dict[str, object]) -> None:
        """Take over `settings`, named like the arguments that a client may declare; also while the exchange is in use."""
        alternate = settings.get("alternate-exchange")
        self.alternate = alternate if isinstance(alternate, str) else ""

    def bind(self, binding: Binding) -> bool:
        """False if there is one like it already."""
        if binding.identity in self.bindings:
            return False
        self.bindings[binding.identity] = binding
        self.insert(binding)
        return True

    def unbind(self, identity: Identity) -> Binding | None:
        """The binding that was removed, if there was one."""
        binding = self.bindings.pop(identity, None)
        if binding is not None:
            self.erase(binding)
        return binding

    def check_binding(self, binding: Binding) -> None:
        """ChannelError if this type of exchange cannot use the binding's arguments."""

    def insert(self, binding: Binding) -> None:
        raise NotImplementedError

    def erase(self, binding: Binding) -> None:
        raise NotImplementedError

    def matches(self, key: str, headers: Headers) -> list[Destination]:
        """Where a message goes from here; a destination may be named more than once."""
        raise NotImplementedError


class DirectExchange(Exchange):
    """The routing key is the binding key."""

    def __init__(
        self, name: str, type: str, durable: bool, auto_delete: bool, internal: bool, arguments: dict[str, object]
    ) -> None:
        super().__init__(name, type, durable, auto_delete, internal, arguments)
        self._by_key: Final[dict[str, dict[Identity, Destination]]] = {}

    def insert(self, binding: Binding) -> None:
        self._by_key.setdefault(binding.key, {})[binding.identity] = binding.destination

    def erase(self, binding: Binding) -> None:
        found = self._by_key[binding.key]
        del found[binding.identity]
        if not found:
            del self._by_key[binding.key]

    def matches(self, key: str, headers: Headers) -> list[Destination]:
        found = self._by_key.get(key)
        return [] if found is None else list(found.values())


class FanoutExchange(Exchange):
    """Everything goes everywhere."""

    def insert(self, binding: Binding) -> None:
        pass

    def erase(self, binding: Binding) -> None:
        pass

    def matches(self, key: str, headers: Headers) -> list[Destination]:
        return [binding.destination for binding in self.bindings.values()]


class TopicExchange(Exchange):
    """Binding keys are patterns of words: `*` is one word, `#` any number of them."""

    def __init__(
        self, name: str, type: str, durable: bool, auto_delete: bool, internal: bool, arguments: dict[str, object]
    ) -> None:
        super().__init__(name, type, durable, auto_delete, internal, arguments)
        self._trie: Final = TopicTrie()

    def insert(self, binding: Binding) -> None:
        self._trie.insert(binding.key, binding.identity, binding.destination)

    def erase(self, binding: Binding) -> None:
        self._trie.erase(binding.key, binding.identity)

    def matches(self, key: str, headers: Headers) -> list[Destination]:
        return cast(list[Destination], self._trie.matches(key))


class HeadersExchange(Exchange):
    """The message's headers decide, not its key."""

    def __init__(
        self, name: str, type: str, durable: bool, auto_delete: bool, internal: bool, arguments: dict[str, object]
    ) -> None:
        super().__init__(name, type, durable, auto_delete, internal, arguments)
        self._rules: Final[dict[Identity, HeaderMatch]] = {}

    def check_binding(self, binding: Binding) -> None:
        check_match(binding.arguments)

    def insert(self, binding: Binding) -> None:
        self._rules[binding.identity] = HeaderMatch(binding.arguments)

    def erase(self, binding: Binding) -> None:
        del self._rules[binding.identity]

    def matches(self, key: str, headers: Headers) -> list[Destination]:
        table = headers.table()
        return [self.bindings[identity].destination for identity, rule in self._rules.items() if rule.matches(table)]


def route(
    exchange: Exchange,
    keys: list[str],
    headers: Headers,
    queues: Mapping[str, Destination],
    exchanges: dict[str, Exchange],
) -> list[Destination]:
    """The queues a message goes to, each once. The default exchange finds them by name in `queues`.

    Exchanges are visited once, so cycles end. An exchange at which no key matched passes on to its alternate.
    """
    found: dict[str, Destination] = {}
    seen = {exchange.name}
    waiting = [exchange]
    while waiting:
        current = waiting.pop()
        matched: list[Destination] = []
        for key in keys:
            if current.name == "":
                queue = queues.get(key)
                if queue is not None:
                    matched.append(queue)
            else:
                matched.extend(current.matches(key, headers))
                if current.one_key:
                    break
        if not matched and current.alternate:
            alternate = exchanges.get(current.alternate)
            if alternate is not None:
                matched.append(alternate)
        if current.ear is not None:
            matched.append(current.ear)
        if len(matched) == 1 and not found and not waiting and not isinstance(matched[0], Exchange):
            return matched
        for destination in matched:
            if not isinstance(destination, Exchange):
                found[destination.name] = destination
            elif destination.name not in seen:
                seen.add(destination.name)
                waiting.append(destination)
    return list(found.values())
