"""Python imports this at its start when its folder is on PYTHONPATH: connections to a fixed port go elsewhere.

Most suites have `localhost:5672` written into them. COMPAT_PORTS, such as `5672=40001,5671=40002`, says where the
broker under test really listens, so that no suite is edited and both brokers can run beside others on this machine.
Programs that a suite starts inherit it.
"""

import os
import socket

LOOPBACK = ("localhost", "127.0.0.1", "::1")
_pairs = (pair.split("=") for pair in os.environ.get("COMPAT_PORTS", "").split(",") if pair)
PORTS = {int(old): int(new) for old, new in _pairs}


def _elsewhere(address):
    if isinstance(address, tuple) and len(address) >= 2 and address[0] in LOOPBACK and address[1] in PORTS:
        return (address[0], PORTS[address[1]], *address[2:])
    return address


def _redirect():
    plain_connect, plain_connect_ex = socket.socket.connect, socket.socket.connect_ex
    socket.socket.connect = lambda self, address: plain_connect(self, _elsewhere(address))
    socket.socket.connect_ex = lambda self, address: plain_connect_ex(self, _elsewhere(address))


if PORTS:
    _redirect()
