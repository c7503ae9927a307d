"""Health checks over HTTP, as RabbitMQ's load balancers and alerts ask for them: 200 if all is well, else 503."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

from leveret.errors import ConfigError
from leveret.management import views
from leveret.management.about import Node
from leveret.management.acting import confirming
from leveret.management.calls import Call, Table, refusing_openly, reply
from leveret.management.endpoints import Refused
from leveret.wire.events import Address
from leveret.wire.frames import header_payload
from leveret.wire.values import encode_shortstr

ALIVENESS_QUEUE: Final = "aliveness-test"
PROTOCOLS: Final = {"amqp091": "amqp", "amqp0.9.1": "amqp", "tls": "amqp/ssl", "amqps": "amqp/ssl"}
"""Other names under which a protocol may be asked for."""
DAY_S: Final = 86_400
UNITS_S: Final = {"days": DAY_S, "weeks": 7 * DAY_S, "months": 30 * DAY_S, "years": 365 * DAY_S}


def health_table(node: Node) -> Table:
    """The actions that need to know the node."""
    return {
        **TABLE,
        "health/checks/port-listener/*": {"GET": lambda call: port_listener(node, call.names[0])},
        "health/checks/protocol-listener/*": {"GET": lambda call: protocol_listener(node, call.names[0])},
        "health/checks/certificate-expiration/*/*": {"GET": lambda call: certificate_expiration(node, *call.names)},
    }


def well(call: Call) -> views.View:
    return {"status": "ok"}


def without_alarms(call: Call) -> Any:
    alarms = call.broker.alarms
    if not alarms.on:
        return {"status": "ok"}
    sources = (("disk", alarms.disk), ("memory", alarms.memory))
    rows = [{"node": views.NODE, "resource": name} for name, on in sources if on]
    return reply({"status": "failed", "reason": "There are alarms in effect in the cluster", "alarms": rows}, 503)


def single_node(call: Call) -> views.View:
    return {"status": "ok", "reason": "single node cluster"}


def node_well(call: Call) -> views.View:
    if call.names[0] != views.NODE:
        raise KeyError(call.names[0])
    return {"status": "ok"}


def port_listener(node: Node, text: str) -> Any:
    if not (text.isascii() and text.isdigit()):
        raise Refused(400, "bad_request", "Invalid port")
    ports = [one.port for one in node.listeners if one.port]
    if int(text) in ports:
        return {"status": "ok", "port": int(text)}
    return reply({"status": "failed", "reason": "No active listener", "missing": int(text), "ports": ports}, 503)


def protocol_listener(node: Node, name: str) -> Any:
    wanted = PROTOCOLS.get(name.lower(), name.lower())
    protocols = list(dict.fromkeys(one.protocol for one in node.listeners))
    if wanted in protocols:
        return {"status": "ok", "protocol": wanted}
    return reply({"status": "failed", "reason": "No active listener", "missing": name, "protocols": protocols}, 503)


def certificate_expiration(node: Node, within: str, unit: str) -> Any:
    """Those of listeners with TLS whose certificate is valid no longer than that, or is none."""
    if unit not in UNITS_S:
        raise Refused(400, "bad_request", f"Time unit not recognised: {unit}. Use {', '.join(UNITS_S)}.")
    if not (within.isascii() and within.isdigit() and len(within) < 7):
        raise Refused(400, "bad_request", f"Not a number of {unit}: {within}")
    until = time.time() + int(within) * UNITS_S[unit]
    expired = [
        {**one.view(), "certfile": str(one.certificate), "certfile_expires_on": described(ends)}
        for one in node.listeners
        if one.certificate is not None and ((ends := valid_until(node, one.certificate)) is None or ends < until)
    ]
    if not expired:
        return {"status": "ok"}
    return reply({"status": "failed", "reason": "Certificates expiring", "expired": expired}, 503)


def valid_until(node: Node, certificate: Path) -> float | None:
    try:
        return node.valid_until(certificate)
    except (OSError, ConfigError):
        return None


def described(ends: float | None) -> str:
    return "unknown" if ends is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ends))


async def aliveness(call: Call) -> views.View:
    """Declares a queue, publishes a message to it and takes it away again."""
    vhost = call.seen()
    peer, channel = confirming(call.user, vhost)
    try:
        with refusing_openly():
            queue = vhost.declare_queue(ALIVENESS_QUEUE, False, False, False, {}, peer)
        encoded = encode_shortstr("") + encode_shortstr(ALIVENESS_QUEUE)
        address = Address("", ALIVENESS_QUEUE, True, False, encoded)
        payload = b"test_message"
        header = header_payload(len(payload), b"\0\0")
        call.broker.routers[vhost.name].publish(channel, address, header, payload)
        taken = queue.get()
        if taken is not None:
            queue.drop(taken)
        if taken is None or taken.body != payload or not await peer.confirmed():
            raise Refused(503, "failed", "the message did not come back")
    finally:
        channel.close()
    return {"status": "ok"}


TABLE: Table = {
    "aliveness-test/*": {"GET": aliveness},
    "health/checks/alarms": {"GET": without_alarms},
    "health/checks/local-alarms": {"GET": without_alarms},
    "health/checks/virtual-hosts": {"GET": well},
    "health/checks/node-is-mirror-sync-critical": {"GET": single_node},
    "health/checks/node-is-quorum-critical": {"GET": single_node},
    "healthchecks/node": {"GET": well},
    "healthchecks/node/*": {"GET": node_well},
}
