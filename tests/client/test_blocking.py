"""The blocking client against both brokers: the same verbs, from any thread."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from brokers import Broker, free_port
from leveret.client.blocking import connect_blocking
from leveret.errors import ChannelError, ConnectionLost, LeveretError, Unroutable


def test_publish_get_and_consume(broker: Broker, name: str) -> None:
    with connect_blocking(broker.url, name="hare") as connection, connection.channel(confirms=True) as channel:
        channel.queue_declare(name, exclusive=True)
        for number in range(5):
            channel.publish(b"%d" % number, routing_key=name, mandatory=True)
        first = channel.get(name)
        assert first is not None and first.body == b"0"
        first.ack()
        taken = []
        for delivery in channel.consume(name, inactivity_timeout_s=0.5):
            taken.append(delivery.body)
            delivery.ack()
            if len(taken) == 4:
                break
        assert taken == [b"1", b"2", b"3", b"4"]
        with pytest.raises(Unroutable):
            channel.publish(b"x", routing_key=name + "none", mandatory=True)


def test_a_loop_ends_when_nothing_comes(broker: Broker, name: str) -> None:
    with connect_blocking(broker.url) as connection:
        channel = connection.channel()
        channel.queue_declare(name, exclusive=True)
        assert list(channel.consume(name, inactivity_timeout_s=0.05)) == []


def test_one_message_at_a_time_unless_more_is_asked_for(broker: Broker, name: str) -> None:
    with connect_blocking(broker.url) as connection:
        channel = connection.channel(confirms=True)
        channel.queue_declare(name, exclusive=True)
        for _ in range(3):
            channel.publish(b"x", routing_key=name)
        deliveries = iter(channel.consume(name))
        delivery = next(deliveries)
        assert channel.queue_declare(name, passive=True).messages == 2
        delivery.ack()
        next(deliveries).ack()
        next(deliveries).ack()


def test_threads_publish_and_acknowledge_together(broker: Broker, name: str) -> None:
    with connect_blocking(broker.url) as connection, ThreadPoolExecutor(8) as pool:
        channel = connection.channel(confirms=True)
        channel.queue_declare(name, exclusive=True)
        list(pool.map(lambda n: channel.publish(b"%d" % n, routing_key=name, mandatory=True), range(200)))
        seen = set()
        for delivery in channel.consume(name, prefetch=50, inactivity_timeout_s=5):
            seen.add(delivery.body)
            pool.submit(delivery.ack)
            if len(seen) == 200:
                break
        assert seen == {b"%d" % n for n in range(200)}


def test_errors_are_those_of_the_broker(broker: Broker, name: str) -> None:
    with connect_blocking(broker.url) as connection:
        channel = connection.channel()
        with pytest.raises(ChannelError) as caught:
            channel.queue_declare(name, passive=True)
        assert caught.value.code == 404 and channel.closed
        assert connection.channel().queue_declare("", exclusive=True).queue


def test_nobody_there_is_an_error_at_once() -> None:
    with pytest.raises(ConnectionLost):
        connect_blocking(f"amqp://127.0.0.1:{free_port()}/")


def test_the_connection_lives_while_its_program_computes(broker: Broker, name: str) -> None:
    with connect_blocking(broker.url, heartbeat_s=1, reconnect=False) as connection:
        channel = connection.channel(confirms=True)
        channel.queue_declare(name, exclusive=True)
        # No call of the client's for longer than the broker would wait for a heartbeat.
        assert not threading.Event().wait(3.5)
        channel.publish(b"x", routing_key=name, mandatory=True)


def test_a_closed_connection_says_so(broker: Broker) -> None:
    connection = connect_blocking(broker.url)
    channel = connection.channel()
    connection.close()
    connection.close()
    with pytest.raises(LeveretError):
        channel.publish(b"x", routing_key="nowhere")


def test_a_fork_does_not_use_its_parents_connection(broker: Broker, name: str) -> None:
    with connect_blocking(broker.url) as connection:
        channel = connection.channel(confirms=True)
        channel.queue_declare(name, auto_delete=True)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                try:
                    channel.publish(b"parent's", routing_key=name)
                except LeveretError:
                    with connect_blocking(broker.url) as own:
                        own.channel(confirms=True).publish(b"child's", routing_key=name, mandatory=True)
                    code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        delivery = channel.get(name, no_ack=True)
        assert delivery is not None and delivery.body == b"child's"
        channel.queue_delete(name)


def test_a_loop_ends_when_the_broker_cancels_its_consumer(broker: Broker, name: str) -> None:
    with connect_blocking(broker.url) as connection:
        channel, other = connection.channel(confirms=True), connection.channel()
        channel.queue_declare(name)
        channel.publish(b"x", routing_key=name)
        taken = []
        for delivery in channel.consume(name):
            taken.append(delivery.body)
            delivery.ack()
            other.queue_delete(name)
        assert taken == [b"x"] and not channel.closed


def test_what_a_closed_loop_did_not_hand_out_goes_back(broker: Broker, name: str) -> None:
    with connect_blocking(broker.url) as connection:
        channel = connection.channel(confirms=True)
        channel.queue_declare(name, exclusive=True)
        for number in range(5):
            channel.publish(b"%d" % number, routing_key=name)
        with channel.consume(name, prefetch=5) as deliveries:
            next(deliveries).ack()
        assert list(deliveries) == []
        left = iter(channel.consume(name, prefetch=5))
        assert {next(left).body for _ in range(4)} == {b"1", b"2", b"3", b"4"}


def test_many_are_published_without_waiting_and_each_is_confirmed(broker: Broker, name: str) -> None:
    with connect_blocking(broker.url) as connection:
        channel = connection.channel(confirms=True)
        channel.queue_declare(name, exclusive=True)
        futures = [channel.publish_nowait(b"x", routing_key=name, mandatory=True) for _ in range(100)]
        lost = channel.publish_nowait(b"x", routing_key=name + "none", mandatory=True)
        channel.drain()
        assert [future.result(20) for future in futures] == [None] * 100
        with pytest.raises(Unroutable):
            lost.result(20)
