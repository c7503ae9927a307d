"""What is known, as values for JSON: for programs that ask `leveret top --formatter json`. Pure; used by run."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from leveret.board.board import Board, Queue, Running, Worker


def told(board: Board, now: float, broker: str) -> dict[str, Any]:
    """Spans are in seconds, rates per second over the time that was watched. Queues' counts are null if nobody has told."""
    return {
        "broker": broker,
        "connected": board.connected,
        "watched_s": round(now - board.since, 3),
        "slots": board.slots,
        "busy": board.busy,
        "done_per_s": board.done.per_s(now),
        "failed_per_s": board.failed.per_s(now),
        "retried_per_s": board.retried.per_s(now),
        "queues": [_queue(one, now) for one in board.queues.values()],
        "workers": [_worker(id, one, now, board.connected) for id, one in board.workers.items()],
        "running": [_running(one, now) for one in board.running()],
        "failures": [asdict(one) for one in board.failures],
    }


def _queue(one: Queue, now: float) -> dict[str, Any]:
    return {
        "name": one.name,
        "ready": one.ready,
        "dead": one.dead,
        "consumers": one.consumers,
        "done_per_s": one.done.per_s(now),
        "failed": one.failed.total,
    }


def _worker(id: str, one: Worker, now: float, connected: bool) -> dict[str, Any]:
    return {
        "worker": id,
        "program": one.beat.program,
        "host": one.beat.host,
        "pid": one.beat.pid,
        "version": one.beat.version,
        "state": "lost" if connected and one.lost(now) else one.beat.state,
        "slots": one.beat.slots,
        "busy": one.busy,
        "ran": one.beat.ran,
        "memory_bytes": one.beat.memory_bytes,
        "up_s": round(now - one.beat.started - one.skew_s, 3),
        "queues": one.beat.queues,
    }


def _running(one: Running, now: float) -> dict[str, Any]:
    return {
        "task": one.task,
        "id": one.id,
        "queue": one.queue,
        "attempt": one.attempt,
        "worker": one.worker,
        "for_s": round(now - one.since, 3),
        "done": one.done,
        "total": one.total,
        "text": one.text,
    }
