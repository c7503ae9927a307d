"""What a history beside the broker remembers of the task of one id. Leveret's own, as /api/messages is; 404 where nothing is known.

The broker itself has none: whoever keeps one (cli/company) gives it to the API. Named by management/api.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from leveret.broker.permissions import READ
from leveret.management.calls import Call, Table


class Life(Protocol):
    row: Any


Remember = Callable[[str, str], Awaitable[Life | None]]
"""Of an id and a virtual host."""


def memory_table(remember: Callable[[], Remember | None]) -> Table:
    async def tell(call: Call) -> Any:
        """The newest first, of all virtual hosts that the user may see; KeyError if nobody remembers it."""
        asked = remember()
        found: list[Any] = []
        for vhost in list(call.broker.vhosts.values()) if asked is not None else ():
            grant = vhost.permissions.grants.get(call.user.name)
            if asked is None or grant is None or not call.may_see(vhost):
                continue
            life = await asked(call.names[0], vhost.name)
            call.turn()
            if life is not None and grant.allows(READ, life.row.queue):
                found.append(life)
        if not found:
            raise KeyError(call.names[0])
        return sorted(found, key=lambda life: -life.row.changed)

    return {"history/tasks/*": {"GET": tell}}
