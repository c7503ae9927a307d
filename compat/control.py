"""`rabbitmqctl stop_app` and `start_app` for suites that restart their broker, whichever broker it is.

Dramatiq's tests call rabbitmqctl. They find ours first on their PATH: a script that asks the runner, over a loopback
port, to stop or start the broker under test. It also keeps such a suite away from any RabbitMQ of this machine.
"""

from __future__ import annotations

import socketserver
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from compat.brokers import Broker

SCRIPT = """#!{python}
import socket, sys
with socket.create_connection(("127.0.0.1", {port})) as connection:
    connection.sendall((" ".join(sys.argv[1:]) + "\\n").encode())
    said = connection.makefile().readline().strip()
if said != "ok":
    sys.exit(said)
"""


@contextmanager
def rabbitmqctl(broker: Broker, place: Path) -> Iterator[Path]:
    """A folder in `place` to put first on PATH while the suite runs."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            asked = self.rfile.readline().decode().strip()
            self.wfile.write(f"{_do(broker, asked)}\n".encode())

    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        folder = place / "bin"
        folder.mkdir()
        script = folder / "rabbitmqctl"
        script.write_text(SCRIPT.format(python=sys.executable, port=server.server_address[1]))
        script.chmod(0o755)
        try:
            yield folder
        finally:
            server.shutdown()
            thread.join()


def _do(broker: Broker, asked: str) -> str:
    if asked == "stop_app":
        broker.stop()
    elif asked == "start_app":
        broker.start()
    else:
        return f"rabbitmqctl {asked}: the compatibility runner knows stop_app and start_app only"
    return "ok"
