"""The broker: its virtual hosts, connections and store, put together and recovered at start.

Pure: no socket, no clock, no thread of its own. The server hands in time (`at`) and the store, and calls the verbs of
broker/vhost, broker/router and broker/basic.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from leveret.broker.alarms import Alarms
from leveret.broker.channel import Channel
from leveret.broker.commons import Commons
from leveret.broker.definitions import read_table
from leveret.broker.delay_line import LINE_PREFIX, DelayLine
from leveret.broker.delayed_exchange import DelayedExchange
from leveret.broker.ear import Hear, lend_ear
from leveret.broker.ids import QueueIds
from leveret.broker.level import Level
from leveret.broker.notices import Notices
from leveret.broker.peer import Peer
from leveret.broker.queue import Queue
from leveret.broker.quotas import UNBOUNDED, Bounds
from leveret.broker.router import Router
from leveret.broker.tenants import Tenants
from leveret.broker.vhost import VirtualHost
from leveret.store.batch import POSITION_BITS

if TYPE_CHECKING:
    from leveret.broker.exchange import Destination
    from leveret.broker.users import Users
    from leveret.store.database import QueueRow, Recovered
    from leveret.store.store import Store


class Broker:
    """`consumer_timeout_ms`: how long a consumer may keep a message unacknowledged, unless it says otherwise; 0: for ever."""

    def __init__(
        self,
        store: Store,
        random_name: Callable[[], str] = lambda: secrets.token_urlsafe(16),
        consumer_timeout_ms: int = 0,
        bounds: Bounds = UNBOUNDED,
    ) -> None:
        self.store: Final = store
        self._ids: Final = QueueIds()
        self.commons: Final = Commons(store, self._ids, random_name, consumer_timeout_ms, bounds)
        self.timers: Final = self.commons.timers
        self.vhosts: Final = self.commons.vhosts
        self.routers: Final[dict[str, Router]] = {}
        self.peers: Final[dict[int, Peer]] = {}
        self.alarms: Final = Alarms(self.peers)
        self.tenants: Final = Tenants(self)

    @property
    def users(self) -> Users:
        return self.tenants.users

    @property
    def now(self) -> int:
        return self.commons.clock.now

    def add_vhost(self, name: str) -> VirtualHost:
        """In memory alone: Tenants.put_vhost keeps it too."""
        vhost = self.vhosts[name] = VirtualHost(name, self.commons)
        self.routers[name] = Router(vhost)
        return vhost

    def listen(self, exchange: str, hear: Hear) -> None:
        """Have `hear` told of all that is published to the exchange of that name, in each virtual host, there already or not."""
        self.commons.ears[exchange] = hear
        for vhost in self.vhosts.values():
            if exchange in vhost.exchanges:
                lend_ear(vhost.exchanges[exchange], vhost)
                vhost.epoch += 1

    def take_notes(self, passing: str) -> Notices:
        """Have it noted from now on what becomes of messages that are not simply acknowledged; the caller takes it from time to time.

        Of queues whose names begin with `passing` nothing is noted: messages pass through them all the time.
        """
        self.commons.notices = notices = Notices(self.commons.clock, passing)
        return notices

    def at(self, now_ms: int) -> None:
        """It is `now_ms` (ms since the epoch) until said otherwise; what is due happens."""
        self.commons.clock.now = now_ms
        self.timers.run(now_ms)

    def flush(self, quiet: bool = False) -> None:
        """The end of a loop turn, in which nothing was written if it was `quiet`: the store commits what was gathered."""
        self.commons.flush_delivered()
        self.store.flush_soon(self.now, quiet)

    def disconnect(self, peer: Peer) -> None:
        """A connection ended: what it held goes back to its queues, its exclusive queues go.

        All its consumers stop first, so that nothing given back by one channel is delivered to another of the same.
        """
        self.tenants.disconnect(peer)
        channels: list[Channel] = list(peer.channels.values())
        peer.channels.clear()
        peer.waiting.clear()
        left: list[Queue] = []
        for channel in channels:
            if not channel.blameless:
                channel.ending = "connection closed"
            left += channel.cancel_all()
        for channel in channels:
            left += channel.give_back_all()
        queues: dict[int, Queue] = {queue.id: queue for queue in left}
        for queue in list(peer.exclusive_queues.values()):
            queue.vhost.delete_queue(queue)
        for queue in queues.values():
            if not queue.deleted:
                queue.dispatch()

    def rest(self) -> None:
        """The broker is about to end: before connections are closed one by one, nobody gets anything any more.

        Otherwise what the first gives back would go to the second, to the third, and be counted each time.
        """
        for peer in self.peers.values():
            peer.congested = True
            for channel in peer.channels.values():
                channel.blameless = True
                channel.ending = "the broker stops"

    # ---- recovery

    def recover(self, recovered: Recovered) -> None:
        """Put back what the store found at start."""
        self.tenants.restore(recovered.settings)
        dying = {first >> POSITION_BITS for first, _ in recovered.dead}
        self._ids.used({row.id for row in recovered.queues} | dying)
        lines: dict[tuple[str, str], QueueRow] = {}
        for row in recovered.queues:
            if row.name.startswith(LINE_PREFIX):
                lines[row.vhost, row.name[len(LINE_PREFIX) :]] = row
            else:
                self._restore_queue(row)
        for stored in recovered.exchanges:
            definition = json.loads(stored.definition)
            vhost = self.vhost(stored.vhost)
            exchange = vhost.restore_exchange(
                stored.name,
                definition["type"],
                definition["auto_delete"],
                definition["internal"],
                read_table(definition["arguments"]),
            )
            if isinstance(exchange, DelayedExchange):
                line = lines[stored.vhost, stored.name]
                exchange.line = DelayLine(vhost, exchange, line.id)
                exchange.line.recover(line.last_position)
        for bound in recovered.bindings:
            self._restore_binding(self.vhost(bound.vhost), json.loads(bound.definition))
        for vhost in self.vhosts.values():
            for queue in vhost.queues.values():
                if queue.ttl_ms >= 0 or queue.dead_letters is not None:
                    queue.expiry.run()  # nobody else may ever ask this queue for its messages

    def _restore_queue(self, row: QueueRow) -> None:
        """The queue, or one more of its levels: the rows of level 0 come first."""
        vhost = self.vhost(row.vhost)
        if row.priority == 0:
            definition = json.loads(row.definition)
            arguments = read_table(definition["arguments"])
            queue = Queue(vhost, row.id, row.name, True, definition["auto_delete"], None, arguments)
            queue.expires_any = True
            vhost.restore_queue(queue)
            level = queue.first
        else:
            queue = vhost.queues[row.name]
            level = Level(queue, row.id)
            queue.add_level(row.priority, level)
        level.recover(row.messages, row.bytes, row.delivered, row.last_position)

    def vhost(self, name: str) -> VirtualHost:
        """The virtual host of something recovered."""
        return self.vhosts.get(name) or self.add_vhost(name)

    def _restore_binding(self, vhost: VirtualHost, definition: dict[str, str]) -> None:
        destination: Destination | None
        if definition["kind"] == "queue":
            destination = vhost.queues.get(definition["destination"])
        else:
            destination = vhost.exchanges.get(definition["destination"])
        if destination is not None and definition["source"] in vhost.exchanges:
            vhost.restore_binding(
                definition["source"], destination, definition["key"], read_table(definition["arguments"])
            )
