"""An HTTP connection as the API's and the dashboard's servers have it: uvicorn's, with the limits that it lacks."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from uvicorn.protocols.http.h11_impl import H11Protocol


class Patience(NamedTuple):
    """How many connections there may be, and how long it may take until a request is there in full, or an answer is read."""

    connections_max: int = 200
    request_s: float = 30.0


class Visitor(H11Protocol):
    """Cut off beyond `patience`."""

    def __init__(self, patience: Patience, **given: Any) -> None:
        super().__init__(**given)
        self._patience = patience
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._patience.connections_max:
            transport.abort()
        else:
            self._hurry()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._be_patient()

    def handle_events(self) -> None:
        super().handle_events()
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete and not cycle.more_body and not self.flow.write_paused:
            self._be_patient()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete:
            self._hurry()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._hurry()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._be_patient()
        if self.cycle.response_complete:
            self._hurry()

    def _hurry(self) -> None:
        """It is the client's turn."""
        if self._deadline is None:
            self._deadline = self.loop.call_later(self._patience.request_s, self.transport.abort)

    def _be_patient(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
