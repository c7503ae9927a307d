"""Pausing a queue and going on with it. What that means stands in tasks/pausing; the list of queues says which are paused."""

from __future__ import annotations

from typing import Any

from leveret.dashboard import moving
from leveret.dashboard.ask import Ask, Table
from leveret.tasks import pausing


async def pause(ask: Ask) -> Any:
    vhost, name = ask.names
    async with await moving.connected(ask.source.amqp_url(vhost)) as connection:
        await pausing.pause(connection, name, ask.source.user)
    return {}


async def resume(ask: Ask) -> Any:
    vhost, name = ask.names
    async with await moving.connected(ask.source.amqp_url(vhost)) as connection:
        await pausing.resume(connection, name)
    return {}


TABLE: Table = {"queues/*/*/pause": {"POST": pause}, "queues/*/*/resume": {"POST": resume}}
