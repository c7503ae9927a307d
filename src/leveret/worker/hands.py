"""Who does the work: threads for plain functions, the event loop of async ones, processes of their own for what wants them.

Begins a job in its place and says on the worker's loop when it has begun and how it ended. What becomes of its message is the
runner's affair.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from functools import partial
from typing import Any, Final

from mypy_extensions import mypyc_attr

from leveret.tasks import Done, Outcome
from leveret.worker.apart import Apart
from leveret.worker.executor import Job, perform, perform_async
from leveret.worker.held import Held
from leveret.worker.interrupt import Interrupt
from leveret.worker.nursery import NoZygote
from leveret.worker.options import Options
from leveret.worker.pace import Pace
from leveret.worker.pool import TaskLoop, Threads

SUSPECT: Final = 2
"""So often a message has come back, and may have killed its worker, that it is run apart. Once says little: what was given back
without having begun comes back too."""

Begun = Callable[[Held, Job], None]
Ended = Callable[[Held, Job, Outcome | None, BaseException | None], None]
"""Takes the outcome, or what kept the job from one."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Hands:
    """`begun` and `ended` are called on the loop; of what was killed, or is given up, no end is told.

    With `apart`, tasks that want it have a process each, and so has, if `isolate` says so, what may have killed its worker.
    """

    def __init__(self, options: Options, apart: Apart | None, begun: Begun, ended: Ended) -> None:
        self._options = options
        self._apart = apart
        self._begun = begun
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._paces: defaultdict[str, Pace] = defaultdict(Pace)
        self.pace_of_queue: defaultdict[str, Pace] = defaultdict(Pace)
        self._over: deque[tuple[Held, Job, Outcome | None, BaseException | None]] = deque()
        self._awake = False
        self.ran = 0
        """How many tasks have ended here."""
        self._own = Threads(options.threads), TaskLoop()
        self.use(*self._own)

    def use(self, threads: Threads, task_loop: TaskLoop) -> None:
        """Instead of its own, and not to be ended by it."""
        self._threads = threads.serving(self._loop, self._tell)
        self._task_loop = task_loop

    def begin(self, held: Held, job: Job) -> None:
        must = job.handler.settings.process or self._options.process_per_task
        suspect = self._options.isolate and job.message.crashes >= SUSPECT
        if self._apart is not None and (must or suspect):
            held.apart = True
            self._apart.submit(job, must, partial(self._begin_to_run, held, job), partial(self._ended_apart, held, job))
        else:
            self._begin_here(held, job)

    def _begin_here(self, held: Held, job: Job) -> None:
        try:
            self._submit(held, job)
        except RuntimeError as error:  # no thread to be had
            self._ended(held, job, None, error)
            return
        self._begin_to_run(held, job)

    def _submit(self, held: Held, job: Job) -> None:
        if job.handler.is_async:
            self._task_loop.submit(perform_async(job)).add_done_callback(partial(self._ended_async, held, job))
        else:
            if job.handler.settings.time_limit is not None:
                job.interrupt = Interrupt()
            brief = self._paces[job.handler.name].brief
            self._threads.submit(partial(perform, job), partial(self._ended_there, held, job), brief)

    def _begin_to_run(self, held: Held, job: Job) -> None:
        held.begun_s = self._loop.time()
        self._begun(held, job)

    # ---- the end

    def _ended_apart(self, held: Held, job: Job, task: asyncio.Task[Outcome]) -> None:
        if task.cancelled() or held.moving:  # it is given back, or was killed for its time
            self.ran += 1
            return
        error = task.exception()
        if isinstance(error, NoZygote):
            held.apart = False
            self._begin_here(held, job)
        else:
            self._end(held, job, None if error is not None else task.result(), error)

    def _ended_async(self, held: Held, job: Job, future: Future[Outcome]) -> None:
        if future.cancelled():
            self._ended_there(held, job, None, asyncio.CancelledError("the task cancelled itself"))
        else:
            error = future.exception()
            self._ended_there(held, job, None if error is not None else future.result(), error)

    def _ended_there(self, held: Held, job: Job, outcome: Outcome | None, error: BaseException | None) -> None:
        """On the thread of the task. The loop is woken once for all that end before it looks."""
        self._over.append((held, job, outcome, error))
        if not self._awake and not self._threads.looks and not self._loop.is_closed():
            self._awake = True
            self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        self._awake = False
        for _ in range(len(self._over)):
            self._end(*self._over.popleft())

    def _end(self, held: Held, job: Job, outcome: Outcome | None, error: BaseException | None) -> None:
        self.ran += 1
        if isinstance(outcome, Done):
            self._paces[job.handler.name].took(outcome.took_s)
            self.pace_of_queue[job.message.queue].took(outcome.took_s)
        self._ended(held, job, outcome, error)

    # ---- ending it

    def kill(self, held: Held, job: Job) -> bool:
        """False if that takes the end of this process, for it has none of its own."""
        if self._apart is None or not held.apart:
            return False
        self._apart.kill(job)
        return True

    async def cancel(self) -> None:
        """All that can be: async tasks, and those apart."""
        apart = [] if self._apart is None else [self._apart.end()]
        await asyncio.gather(self._task_loop.cancel(), *apart)

    def end(self) -> None:
        """Its own threads, each as soon as it has nothing to do."""
        for own in self._own:
            own.end()

    async def on_task_loop(self, work: Coroutine[Any, Any, None], within_s: float) -> None:
        """Where async tasks run."""
        await asyncio.wait((asyncio.wrap_future(self._task_loop.submit(work)),), timeout=within_s)
