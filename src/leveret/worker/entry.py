"""The two ways to have workers for a program that is named, each in a process of its own, under a supervisor: `main` for programs,
`command` for the command line, which has a process to itself.

Both parse nothing and return an exit code: 0 after a stop in good order, 1 if the broker refuses, 2 for wrong use. What can be said of
a worker stands in tasks/options, WorkerOptions. Nothing of the library is loaded here but what a supervisor needs.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Unpack

from leveret.worker.options import FORKS_ARE_SAFE, Options
from leveret.worker.spawning import Spawned, Tie, environment_for, fork

if TYPE_CHECKING:
    from leveret.tasks.options import WorkerOptions


def main(app: str, *, url: str | None = None, **given: Unpack[WorkerOptions]) -> int:
    """Run workers for `app` (loading tells its forms) until SIGTERM.

    `url` goes before the program's own broker. A second signal ends it at once. TaskError for values that cannot be meant.
    """
    return _supervise(app, url, Options.of(given), ())


def command(app: str, *, url: str | None = None, **given: Unpack[WorkerOptions]) -> int:
    """As `main`, in a process that has done nothing yet: the first children are forked, and in them it returns too."""
    options = Options.of(given)
    # What is reloaded is watched before it is loaded.
    if options.reload or not FORKS_ARE_SAFE or threading.active_count() > 1:
        return _supervise(app, url, options, ())
    from leveret.worker import supervisor  # noqa: F401  the children need most of what it loads

    gc.freeze()  # so that collecting in a child does not copy what it shares with this process
    children: list[Spawned] = []
    for _ in range(options.processes):
        born = _fork(children)
        if isinstance(born, Tie):
            from leveret.worker.child import live

            return live(app, options, url, born)
        children += born
    return _supervise(app, url, options, children)


def _fork(children: Sequence[Spawned]) -> Tie | list[Spawned]:
    """The child, in the supervisor; nobody where the system refuses: the supervisor tries again. In the child its tie."""
    try:
        born = fork(children)
    except OSError:
        return []
    return born if isinstance(born, Tie) else [born]


def _supervise(app: str, url: str | None, options: Options, children: Sequence[Spawned]) -> int:
    from leveret.worker import lines
    from leveret.worker.supervisor import Supervisor

    gc.enable()
    lines.set_up(options)
    try:
        return Supervisor(app, options, environment_for(url), children).run()
    except BaseException:
        for child in children:
            child.kill()
        raise
