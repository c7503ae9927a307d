"""What a WorkQueue tells workers, besides tasks: to cancel one, to pause a queue, to go on with it. Its base; see cancelling, pausing."""

from __future__ import annotations

from functools import partial

from leveret.tasks.pausing import is_paused, pause, resume
from leveret.tasks.sender import Sender


class Ordering:
    """All return once the broker keeps it in mind, within `send_timeout_s`."""

    _sender: Sender
    send_timeout_s: float

    def cancel(self, id: str) -> None:
        """Cancel a task. One that is delayed, or `cancellable`, does not begin any more; one that runs is told.

        An async task is cancelled at its next await; a plain function sees `current_task().cancelled`; one in a process of its
        own is killed. Nothing says here whether it had ended already.
        """
        self._sender.cancel(id, self.send_timeout_s)

    async def cancel_async(self, id: str) -> None:
        """As `cancel`, for coroutines."""
        await self._sender.cancel_async(id, self.send_timeout_s)

    def pause(self, queue: str, by: str = "") -> None:
        """No worker takes anything from `queue` any more, and none that starts later, until it is resumed.

        What runs goes on to its end; what was fetched and not begun goes back to its place. Sending to it goes on. `by` says who
        paused it, for others to read.
        """
        self._sender.order(partial(pause, queue=queue, by=by, timeout_s=self.send_timeout_s), self.send_timeout_s)

    async def pause_async(self, queue: str, by: str = "") -> None:
        """As `pause`, for coroutines."""
        await self._sender.order_async(partial(pause, queue=queue, by=by, timeout_s=self.send_timeout_s))

    def resume(self, queue: str) -> None:
        """Workers take from it again, within a second. Of a queue that is not paused nothing changes."""
        self._sender.order(partial(resume, queue=queue, timeout_s=self.send_timeout_s), self.send_timeout_s)

    async def resume_async(self, queue: str) -> None:
        """As `resume`, for coroutines."""
        await self._sender.order_async(partial(resume, queue=queue, timeout_s=self.send_timeout_s))

    def paused(self, queue: str) -> bool:
        """Whether it is."""
        return self._sender.order(partial(is_paused, queue=queue), self.send_timeout_s)

    async def paused_async(self, queue: str) -> bool:
        """As `paused`, for coroutines."""
        return await self._sender.order_async(partial(is_paused, queue=queue))
