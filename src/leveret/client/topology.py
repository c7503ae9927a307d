"""What a connection declared and has to declare again when it replaces a lost one.

Exchanges, queues and bindings are kept as the methods that made them. A queue that the broker named gets a new name
each time; `current` leads from any earlier name to the present one. No I/O: client/restore sends what stands here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
from msgspec.structs import replace

from leveret.wire.methods import ExchangeBind, ExchangeDeclare, QueueBind, QueueDeclare

Binding = QueueBind | ExchangeBind
BindingKey = tuple[str, str, str, str, str]


class DeclaredQueue(msgspec.Struct):
    method: QueueDeclare  # with its present name, also if the broker chose it
    named_by_broker: bool


def binding_key(kind: str, destination: str, source: str, key: str, arguments: Mapping[str, object]) -> BindingKey:
    return kind, destination, source, key, repr(sorted(arguments.items()))


def key_of(binding: Binding) -> BindingKey:
    if isinstance(binding, QueueBind):
        return binding_key("queue", binding.queue, binding.exchange, binding.routing_key, binding.arguments)
    return binding_key("exchange", binding.destination, binding.source, binding.routing_key, binding.arguments)


class Topology:
    def __init__(self) -> None:
        self.exchanges: dict[str, ExchangeDeclare] = {}
        self.queues: dict[str, DeclaredQueue] = {}
        self.bindings: dict[BindingKey, Binding] = {}
        self._renamed: dict[str, str] = {}

    def current(self, queue: str) -> str:
        """The present name of a queue that was declared under `queue`."""
        while queue in self._renamed:
            queue = self._renamed[queue]
        return queue

    def add_queue(self, method: QueueDeclare, name: str) -> None:
        """`name` is what the broker answered: the queue's own, or the one it chose.

        A queue declared again has its last arguments; one that the broker named remains so.
        """
        known = self.queues.get(name)
        named_by_broker = not method.queue or (known is not None and known.named_by_broker)
        self.queues[name] = DeclaredQueue(replace(method, queue=name), named_by_broker)

    def rename_queue(self, old: str, new: str) -> None:
        if new == old or old not in self.queues:  # removed meanwhile
            return
        declared = self.queues.pop(old)
        declared.method = replace(declared.method, queue=new)
        self.queues[new] = declared
        self._renamed[old] = new
        for key, binding in list(self.bindings.items()):
            if isinstance(binding, QueueBind) and binding.queue == old:
                del self.bindings[key]
                self.add_binding(replace(binding, queue=new))

    def remove_queue(self, name: str) -> None:
        """With its bindings, as the broker does, and its earlier names."""
        self.queues.pop(name, None)
        self._renamed = {old: new for old, new in self._renamed.items() if self.current(old) != name}
        self._drop_bindings(lambda binding: isinstance(binding, QueueBind) and binding.queue == name)

    def add_exchange(self, method: ExchangeDeclare) -> None:
        self.exchanges[method.exchange] = method

    def remove_exchange(self, name: str) -> None:
        """With the bindings from and to it."""
        self.exchanges.pop(name, None)
        self._drop_bindings(
            lambda binding: (
                binding.exchange == name
                if isinstance(binding, QueueBind)
                else name in (binding.source, binding.destination)
            )
        )

    def add_binding(self, binding: Binding) -> None:
        self.bindings[key_of(binding)] = binding

    def remove_binding(self, binding: Binding) -> None:
        self.bindings.pop(key_of(binding), None)

    def _drop_bindings(self, goes: Callable[[Binding], bool]) -> None:
        self.bindings = {key: binding for key, binding in self.bindings.items() if not goes(binding)}
