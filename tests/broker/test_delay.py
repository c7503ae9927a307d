"""Delayed messages on virtual time: when they are routed, what survives a restart, when they are confirmed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from broker.support import Client, World, consume
from leveret.broker import basic, delay_line
from leveret.broker.channel import Channel
from leveret.broker.delayed_exchange import DELAY_MS_MAX, DelayedExchange, delay_of
from leveret.broker.queue import Queue
from leveret.wire.events import Address
from leveret.wire.frames import header_payload
from leveret.wire.properties import BasicProperties, decode_properties, encode_properties

NOW = 1_000_000


class Delays:
    """A broker with a durable delayed exchange `x` of type direct, and a queue `q` bound to it with key `k`."""

    def __init__(self, directory: Path | None) -> None:
        self.world = World(directory)
        self.vhost = self.world.broker.vhosts["/"]
        self.vhost.declare_exchange("x", "x-delayed-message", True, False, False, {"x-delayed-type": "direct"})
        self.queue = self.world.queue("q")
        self.vhost.bind("x", self.queue, "k", {})
        self.client = self.world.client()
        self.channel = self.client.channel(confirms=True)

    def line(self) -> delay_line.DelayLine:
        exchange = self.vhost.exchanges["x"]
        assert isinstance(exchange, DelayedExchange) and exchange.line is not None
        return exchange.line

    def publish(
        self,
        body: bytes,
        delay_ms: object,
        key: str = "k",
        delivery_mode: int = 2,
        exchange: str = "x",
        **headers: object,
    ) -> None:
        properties = BasicProperties(delivery_mode=delivery_mode, headers={"x-delay": delay_ms, **headers})
        send(self.world, self.channel, exchange, key, body, properties)

    def at(self, after_ms: int) -> None:
        """It is so long after the beginning; everything that follows from it has happened."""
        self.world.broker.at(NOW + after_ms)
        self.world.settle()


def send(
    world: World,
    channel: Channel,
    exchange: str,
    key: str,
    body: bytes,
    properties: BasicProperties,
    mandatory: bool = False,
) -> None:
    encoded = b"".join(bytes((len(text),)) + text.encode() for text in (exchange, key))
    address = Address(exchange, key, mandatory, False, encoded)
    header = header_payload(len(body), encode_properties(properties))
    world.broker.routers["/"].publish(channel, address, header, body)


def outstanding(channel: Channel) -> int:
    assert channel.confirms is not None
    return channel.confirms.outstanding


def drain(queue: Queue) -> list[bytes]:
    bodies = []
    while (message := queue.get()) is not None:
        bodies.append(message.body)
        queue.acknowledge(message)
    return bodies


Begin = Callable[[], Delays]


@pytest.fixture(params=["memory", "disk"])
def begin(request: pytest.FixtureRequest, tmp_path: Path) -> Begin:
    return lambda: Delays(None if request.param == "memory" else tmp_path)


def test_a_message_comes_at_its_time_and_not_before(begin: Begin) -> None:
    delays = begin()
    delays.publish(b"a", 1000)
    delays.at(999)
    assert (delays.queue.ready, delays.line().count) == (0, 1)
    delays.at(1000)
    assert (drain(delays.queue), delays.line().count) == ([b"a"], 0)


def test_messages_come_in_the_order_of_their_times_then_of_their_coming(begin: Begin) -> None:
    delays = begin()
    for body, delay_ms in ((b"3", 30), (b"1a", 10), (b"2", 20), (b"1b", 10)):
        delays.publish(body, delay_ms)
    delays.at(100)
    assert drain(delays.queue) == [b"1a", b"1b", b"2", b"3"]


def test_a_shorter_delay_overtakes_the_timer_of_a_longer_one(begin: Begin) -> None:
    delays = begin()
    delays.publish(b"long", 5000)
    delays.publish(b"short", 10)
    delays.at(10)
    assert drain(delays.queue) == [b"short"]
    delays.at(5000)
    assert drain(delays.queue) == [b"long"]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (1, 1),
        (DELAY_MS_MAX, DELAY_MS_MAX),
        ("250", 250),
        (1.9, 1),
        (DELAY_MS_MAX + 1, 0),
        (0, 0),
        (-5, 0),
        (True, 0),
        (None, 0),
        ("soon", 0),
        ("", 0),
        (float("nan"), 0),
        ([5], 0),
    ],
)
def test_which_delays_count(header: object, expected: int) -> None:
    assert delay_of({"x-delay": header}) == expected


def test_without_a_delay_it_routes_at_once(begin: Begin) -> None:
    delays = begin()
    delays.publish(b"now", 0)
    send(delays.world, delays.channel, "x", "k", b"plain", BasicProperties(delivery_mode=2))
    assert drain(delays.queue) == [b"now", b"plain"]


def test_the_delay_is_negative_afterwards_and_the_rest_as_it_was(begin: Begin) -> None:
    delays = begin()
    properties = BasicProperties(delivery_mode=2, message_id="m", headers={"x-delay": 700, "other": "kept"})
    send(delays.world, delays.channel, "x", "k", b"a", properties)
    delays.at(700)
    message = delays.queue.get()
    assert message is not None
    seen = decode_properties(message.header, 12)
    assert (seen.headers, seen.message_id) == ({"x-delay": -700, "other": "kept"}, "m")
    assert message.address == b"\x01x\x01k"


def test_it_routes_by_the_bindings_of_its_time(begin: Begin) -> None:
    delays = begin()
    later = delays.world.queue("later")
    delays.publish(b"a", 100)
    delays.vhost.unbind("x", delays.queue, "k", {})
    delays.vhost.bind("x", later, "k", {})
    delays.at(100)
    assert (drain(delays.queue), drain(later)) == ([], [b"a"])


def test_copies_are_routed_and_hidden_ones_stay_hidden(begin: Begin) -> None:
    delays = begin()
    cc, bcc = delays.world.queue("cc"), delays.world.queue("bcc")
    delays.vhost.bind("x", cc, "cc", {})
    delays.vhost.bind("x", bcc, "bcc", {})
    delays.publish(b"a", 10, CC=["cc"], BCC=["bcc"])
    delays.at(10)
    for queue in (delays.queue, cc, bcc):
        message = queue.get()
        assert message is not None
        assert decode_properties(message.header, 12).headers == {"x-delay": -10, "CC": ["cc"]}


def test_it_may_stand_behind_another_exchange(begin: Begin) -> None:
    delays = begin()
    delays.vhost.bind("amq.fanout", delays.vhost.exchanges["x"], "", {})
    delays.publish(b"a", 10, exchange="amq.fanout")
    assert delays.line().count == 1
    delays.at(10)
    assert drain(delays.queue) == [b"a"]


def test_what_is_unroutable_at_its_time_is_dropped(begin: Begin) -> None:
    delays = begin()
    delays.publish(b"a", 10, key="nobody")
    delays.at(10)
    assert (delays.line().count, outstanding(delays.channel), delays.client.returned) == (0, 0, [])


def test_mandatory_does_not_count_while_there_is_a_delay(begin: Begin) -> None:
    delays = begin()
    delayed = BasicProperties(headers={"x-delay": 10})
    send(delays.world, delays.channel, "x", "nobody", b"delayed", delayed, mandatory=True)
    send(delays.world, delays.channel, "x", "nobody", b"at once", BasicProperties(), mandatory=True)
    delays.at(10)
    assert delays.client.returned == [b"at once"]


def test_the_alternate_exchange_takes_what_is_unroutable_at_its_time(begin: Begin) -> None:
    delays = begin()
    arguments: dict[str, object] = {"x-delayed-type": "direct", "alternate-exchange": "amq.fanout"}
    delays.vhost.declare_exchange("y", "x-delayed-message", True, False, False, arguments)
    delays.vhost.bind("amq.fanout", delays.queue, "", {})
    delays.publish(b"a", 10, key="nobody", exchange="y")
    assert delays.queue.ready == 0
    delays.at(10)
    assert drain(delays.queue) == [b"a"]


def test_a_messages_own_expiration_counts_from_its_time(begin: Begin) -> None:
    delays = begin()
    properties = BasicProperties(delivery_mode=2, expiration="50", headers={"x-delay": 100})
    send(delays.world, delays.channel, "x", "k", b"a", properties)
    delays.at(100)
    delays.at(149)
    assert delays.queue.ready == 1
    delays.at(150)
    assert delays.queue.ready == 0


def test_a_deleted_exchange_takes_along_what_waits(begin: Begin) -> None:
    delays = begin()
    delays.publish(b"a", 10)
    delays.vhost.delete_exchange("x", False)
    delays.at(10)
    assert (delays.queue.ready, outstanding(delays.channel)) == (0, 0)
    delays.vhost.declare_exchange("x", "x-delayed-message", True, False, False, {"x-delayed-type": "direct"})
    assert delays.line().count == 0


def test_a_consumer_that_waits_gets_it(begin: Begin) -> None:
    delays = begin()
    consumer = Client(delays.world.broker)
    consume(consumer.channel(), delays.queue)
    delays.publish(b"a", 10)
    delays.at(10)
    assert consumer.bodies() == [b"a"]


def test_dead_letters_may_be_delayed_once(begin: Begin) -> None:
    delays = begin()
    work = delays.world.queue("work", x_dead_letter_exchange="x", x_dead_letter_routing_key="k")
    properties = BasicProperties(delivery_mode=2, headers={"x-delay": 500})
    send(delays.world, delays.channel, "", "work", b"a", properties)
    reject(delays.channel, work)
    assert (delays.line().count, delays.queue.ready) == (1, 0)
    delays.at(500)
    assert drain(delays.queue) == [b"a"] and outstanding(delays.channel) == 0


def test_a_dead_letters_history_goes_on_behind_a_delay_and_a_restart(tmp_path: Path) -> None:
    """That the broker wrote its x-death is remembered where it waits: rejected, delayed, rejected again it counts on."""
    delays = Delays(tmp_path)
    work = delays.world.queue("work", x_dead_letter_exchange="x", x_dead_letter_routing_key="k")
    properties = BasicProperties(delivery_mode=2, headers={"x-delay": 500})
    send(delays.world, delays.channel, "", "work", b"a", properties)
    reject(delays.channel, work)
    delays.world.settle()
    world = restarted(delays, tmp_path, 500)
    target = world.broker.vhosts["/"].queues["q"]
    dead = world.queue("dead")
    target.configure({"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"})
    assert target.ready == 1
    reject(world.client().channel(), target)
    message = dead.get()
    assert message is not None
    headers = decode_properties(message.header, 12).headers
    assert headers is not None
    deaths = headers["x-death"]
    assert isinstance(deaths, list)
    assert [(death["queue"], death["reason"]) for death in deaths] == [("q", "rejected"), ("work", "rejected")]
    assert headers["x-first-death-queue"] == "work"
    world.store.close()


def reject(channel: Channel, queue: Queue) -> None:
    got = basic.get(channel, queue, False)
    assert got is not None
    channel.reject(got[1], False)


# ---- what is on disk


def restarted(delays: Delays, directory: Path, after_ms: int = 0) -> World:
    """The broker again after a stop in good order."""
    delays.world.store.close()
    world = World(directory)
    world.broker.at(NOW + after_ms)
    world.settle()
    return world


def waiting(world: World) -> int:
    exchange = world.broker.vhosts["/"].exchanges["x"]
    assert isinstance(exchange, DelayedExchange) and exchange.line is not None
    return exchange.line.count


def test_it_is_confirmed_when_it_is_on_disk_not_before(tmp_path: Path) -> None:
    delays = Delays(tmp_path)
    delays.world.settle()
    delays.publish(b"a", 1000)
    assert outstanding(delays.channel) == 1
    delays.world.settle()
    assert outstanding(delays.channel) == 0


def test_due_before_it_was_written_it_is_confirmed_when_its_queues_have_it(tmp_path: Path) -> None:
    delays = Delays(tmp_path)
    delays.world.settle()
    second = delays.world.queue("second")
    delays.vhost.bind("x", second, "k", {})
    delays.publish(b"a", 5)
    delays.world.broker.at(NOW + 5)
    assert (delays.queue.ready, second.ready, outstanding(delays.channel)) == (1, 1, 1)
    delays.world.settle()
    assert outstanding(delays.channel) == 0
    world = restarted(delays, tmp_path)
    queues = world.broker.vhosts["/"].queues
    assert (waiting(world), queues["q"].ready, queues["second"].ready) == (0, 1, 1)


def test_due_while_it_is_being_written_it_is_in_one_place_after_a_restart(tmp_path: Path) -> None:
    delays = Delays(tmp_path)
    delays.world.settle()
    delays.publish(b"a", 5)
    delays.world.broker.flush()
    delays.world.broker.at(NOW + 5)
    delays.world.settle()
    assert outstanding(delays.channel) == 0
    world = restarted(delays, tmp_path)
    assert (waiting(world), world.broker.vhosts["/"].queues["q"].ready) == (0, 1)


def test_persistent_messages_survive_a_restart_and_keep_their_time(tmp_path: Path) -> None:
    delays = Delays(tmp_path)
    delays.publish(b"early", 100)
    delays.publish(b"late", 900)
    delays.publish(b"transient", 100, delivery_mode=1)
    world = restarted(delays, tmp_path, 50)
    queue = world.broker.vhosts["/"].queues["q"]
    assert (waiting(world), queue.ready) == (2, 0)
    world.broker.at(NOW + 899)
    assert drain(queue) == [b"early"]
    world.broker.at(NOW + 900)
    assert drain(queue) == [b"late"]


def test_what_became_due_while_the_broker_was_down_comes_at_once(tmp_path: Path) -> None:
    delays = Delays(tmp_path)
    for number in range(5):
        delays.publish(b"%d" % number, 100 - number)
    world = restarted(delays, tmp_path, 10_000)
    assert drain(world.broker.vhosts["/"].queues["q"]) == [b"4", b"3", b"2", b"1", b"0"]


def test_what_was_routed_does_not_come_again_after_a_restart(tmp_path: Path) -> None:
    delays = Delays(tmp_path)
    delays.publish(b"a", 10)
    delays.world.settle()
    delays.at(10)
    assert drain(delays.queue) == [b"a"]
    world = restarted(delays, tmp_path, 20)
    assert (waiting(world), world.broker.vhosts["/"].queues["q"].ready) == (0, 0)


def test_a_deleted_exchange_leaves_nothing_on_disk(tmp_path: Path) -> None:
    delays = Delays(tmp_path)
    delays.publish(b"a", 10)
    delays.world.settle()
    delays.vhost.delete_exchange("x", False)
    world = restarted(delays, tmp_path, 20)
    assert "x" not in world.broker.vhosts["/"].exchanges and len(world.broker.vhosts["/"].queues) == 1
    world.broker.vhosts["/"].declare_exchange(
        "x", "x-delayed-message", True, False, False, {"x-delayed-type": "direct"}
    )
    assert waiting(world) == 0


def test_a_line_has_one_call_to_come_and_none_once_its_exchange_is_deleted() -> None:
    delays = Delays(None)
    timers = delays.world.broker.timers
    for delay_ms in (500, 100, 300):
        delays.publish(b"a", delay_ms)
    assert [at for at, _, timer in timers._heap if timer.call is not None] == [NOW + 100]
    delays.at(100)
    assert [at for at, _, timer in timers._heap if timer.call is not None] == [NOW + 300]
    delays.vhost.delete_exchange("x", False)
    assert all(timer.call is None for _, _, timer in timers._heap)


def test_new_messages_and_recovered_ones_do_not_mix_up_their_places(tmp_path: Path) -> None:
    delays = Delays(tmp_path)
    delays.publish(b"old", 100)
    delays.world.store.close()
    delays = Delays(tmp_path)
    delays.publish(b"new", 50)
    delays.at(100)
    assert drain(delays.queue) == [b"new", b"old"]


@pytest.mark.parametrize("delivery_mode", [1, 2])
def test_beyond_what_memory_holds_the_rest_is_read_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, delivery_mode: int
) -> None:
    for name, value in (("HELD_MESSAGES", 3), ("READING_MESSAGES", 4), ("CHUNK_MESSAGES", 5)):
        monkeypatch.setattr(delay_line, name, value)
    delays = Delays(tmp_path)
    for number in range(40):
        delays.publish(b"%02d" % number, 1000 - number, delivery_mode=delivery_mode)
    delays.at(980)
    assert drain(delays.queue) == [b"%02d" % number for number in range(39, 19, -1)]
    if delivery_mode == 2:
        world = restarted(delays, tmp_path, 1000)
        assert drain(world.broker.vhosts["/"].queues["q"]) == [b"%02d" % number for number in range(19, -1, -1)]
    else:
        delays.at(1000)
        assert drain(delays.queue) == [b"%02d" % number for number in range(19, -1, -1)]
