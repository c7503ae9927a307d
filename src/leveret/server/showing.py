"""A connection in the words of RabbitMQ's management API. Used by server/session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leveret.server.certificate import CLEAR

if TYPE_CHECKING:
    from leveret.server.session import Session


def view(session: Session) -> dict[str, object]:
    return {
        "name": session.name,
        "user_provided_name": session.given_name,
        "user": session.user,
        "user_who_performed_action": session.user,
        "vhost": "" if session.vhost is None else session.vhost.name,
        "protocol": "AMQP 0-9-1",
        "type": "network",
        "auth_mechanism": session.mechanism,
        "host": session.host,
        "port": session.port,
        "peer_host": session.peer_host,
        "peer_port": session.peer_port,
        **(CLEAR if session.tls is None else session.tls.view),
        "state": state(session),
        "timeout": session.heartbeat_s,
        "frame_max": session.wire.frame_max,
        "channel_max": session.wire.channel_max,
        "client_properties": session.client_properties,
        "connected_at": session.connected_at_ms,
        "recv_oct": session.wire.heard,
        "recv_cnt": session.reads,
        "send_oct": session.sent_bytes,
        "send_cnt": session.writes,
        "send_pend": session.wire.out_bytes,
    }


def state(session: Session) -> str:
    """In RabbitMQ's words; `blocking` are those that would be blocked if they published."""
    if session.ending:
        return "closing"
    if session.blocked:
        return "blocked"
    return "blocking" if session.broker.alarms.on else "running"
