"""The worker: runs the tasks of a program. `main` for a command line, `run` for a program that is its own worker."""

from leveret.worker.entry import main, run

__all__ = ["main", "run"]
