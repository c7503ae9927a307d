"""One greedy connection does not starve the others: it is read from piece by piece, with the others' turns between."""

from __future__ import annotations

import asyncio

from leveret.server.config import Config
from leveret.server.protocol import PIECE_BYTES_MAX, Protocol
from leveret.server.server import Server
from leveret.wire.frames import HEARTBEAT
from leveret.wire.spec import PROTOCOL_HEADER


class Stream(asyncio.Transport):
    """A socket that remembers whether it is read from."""

    def __init__(self) -> None:
        super().__init__()
        self.reading = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def get_extra_info(self, name: str, default: object = None) -> object:
        return ("127.0.0.1", 1)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False

    def write(self, data: object) -> None:
        pass

    def abort(self) -> None:
        pass


def reading_after(data: bytes) -> tuple[bool, bool]:
    """Whether a connection is read from right after it sent `data`, and when the loop's turn is over."""

    async def main() -> tuple[bool, bool]:
        server = Server(Config(tcp=False, memory=True))
        protocol = Protocol(server)
        stream = Stream()
        protocol.connection_made(stream)
        protocol.data_received(PROTOCOL_HEADER)
        protocol.data_received(data)
        now = stream.reading
        turn_over = asyncio.Event()
        asyncio.get_running_loop().call_soon(turn_over.set)
        await turn_over.wait()
        later = stream.reading
        protocol.connection_lost(None)
        return now, later

    return asyncio.run(main())


def test_a_connection_that_sends_much_is_read_from_again_after_the_others() -> None:
    assert reading_after(HEARTBEAT * (PIECE_BYTES_MAX // len(HEARTBEAT) + 1)) == (False, True)


def test_a_connection_that_sends_little_is_read_from_all_the_time() -> None:
    assert reading_after(HEARTBEAT * 100) == (True, True)
