"""A raw AMQP client that can do wrong: frames by hand over a socket, read with the protocol machine of the client's role."""

from __future__ import annotations

import socket

from leveret.wire import events as e
from leveret.wire import methods as m
from leveret.wire.connection import Connection


class Raw:
    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.wire = Connection(False)
        self.events: list[e.Event] = []

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def say(self, channel: int, method: m.Method) -> None:
        self.wire.send(channel, method)
        self.flush()

    def flush(self) -> None:
        self.send(self.wire.take())

    def hear(self) -> e.Event | None:
        """The next event; None at the end of the connection."""
        while not self.events:
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self.events.extend(self.wire.receive(data))
        return self.events.pop(0)

    def method(self) -> m.Method:
        event = self.hear()
        assert isinstance(event, e.MethodReceived), event
        return event.method

    def open(self) -> Raw:
        """Through the handshake, with channel 1 open."""
        self.start()
        self.say(0, m.ConnectionOpen(virtual_host="/"))
        assert isinstance(self.method(), m.ConnectionOpenOk)
        self.say(1, m.ChannelOpen())
        assert isinstance(self.method(), m.ChannelOpenOk)
        return self

    def start(self, response: bytes = b"\x00guest\x00guest", tune: m.ConnectionTuneOk | None = None) -> None:
        """Up to tune-ok."""
        self.wire.open()
        self.flush()
        assert isinstance(self.method(), m.ConnectionStart)
        capabilities = {"capabilities": {"authentication_failure_close": True}}
        self.say(0, m.ConnectionStartOk(client_properties=capabilities, mechanism="PLAIN", response=response))
        offered = self.method()
        if isinstance(offered, m.ConnectionTune):
            self.say(0, tune or m.ConnectionTuneOk(offered.channel_max, offered.frame_max, 0))
            self.wire.tune(offered.channel_max, offered.frame_max)
        else:
            self.events.insert(0, e.MethodReceived(0, offered))

    def refusal(self) -> tuple[int, str]:
        """What the server's connection.close says."""
        method = self.method()
        assert isinstance(method, m.ConnectionClose), method
        return method.reply_code, method.reply_text

    def close(self) -> None:
        self.socket.close()
