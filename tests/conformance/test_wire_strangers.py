"""Who does not get through the handshake: the broker ends the stream, and need not say why.

RabbitMQ waits three seconds before it hangs up on a stranger, so all of them call at the same time, and each test
asks about one. AMQP 0-9-1 section 2.2.4; rabbitmq.com/docs/access-control, docs/authentication.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from brokers import Broker
from conformance import wire
from conformance.wire import HEADER, Frame, Wire, long, method, short

DECLARE = method(1, wire.QUEUE_DECLARE, b"\x00\x00" + short("") + b"\x04" + long(b""))


def tuned(**tune: int) -> Callable[[Wire], None]:
    def act(client: Wire) -> None:
        client.greet()
        client.agree(**tune)
        client.enter()

    return act


def enters_untuned(client: Wire) -> None:
    client.greet()
    client.expect(wire.TUNE)
    client.enter()


STRANGERS: dict[str, Callable[[Wire], None]] = {
    "raises frame_max": tuned(frame_max=262_144),
    "wants no limit of frame_max": tuned(frame_max=0),
    "lowers frame_max below 4096": tuned(frame_max=4095),
    "raises channel_max": tuned(channel_max=4000),
    "wants no limit of channel_max": tuned(channel_max=0),
    "gives a wrong password": lambda client: client.greet(password="wrong"),
    "does not exist": lambda client: client.greet(user="nobody"),
    "asks to act for somebody else": lambda client: client.greet(acting_for="abc"),
    "knows another mechanism": lambda client: client.greet(mechanism="WAT"),
    "declares a queue first": lambda client: client.send(HEADER, DECLARE),
    "opens the connection first": lambda client: client.send(HEADER, method(0, wire.OPEN, short("/") + bytes(2))),
    "opens the connection before tune-ok": enters_untuned,
}


@pytest.fixture(scope="module")
def answers(broker: Broker) -> dict[str, list[Frame]]:
    """What each stranger still heard after its last word, until the broker hung up or sent connection.close."""
    clients = {name: Wire(broker.port) for name in STRANGERS}
    for name, act in STRANGERS.items():
        act(clients[name])
    return {name: _hear_out(client) for name, client in clients.items()}


def _hear_out(client: Wire) -> list[Frame]:
    heard: list[Frame] = []
    with client:
        while (found := client.next()) is not None:
            heard.append(found)
            if found.method == wire.CLOSE:
                break
    return heard


@pytest.mark.parametrize("stranger", STRANGERS)
def test_a_stranger_is_not_let_in(answers: dict[str, list[Frame]], stranger: str) -> None:
    """start is the broker's greeting to anyone; after it there is a refusal or nothing."""
    heard = [frame.method for frame in answers[stranger] if frame.method != wire.START]
    assert heard in ([], [wire.CLOSE])
