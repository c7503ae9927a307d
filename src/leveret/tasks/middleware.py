"""The places where features and programs hook into the running of tasks: a class of empty hooks.

Derive from it, override what is wanted, and hand instances to WorkQueue(middleware=[…]). Called by worker/executor,
in the thread or on the event loop where the task itself runs.
"""

from __future__ import annotations

from leveret.tasks.message import Message
from leveret.tasks.outcome import Outcome


class Middleware:
    """Around each task: `before` hooks in the order given, `after` hooks the other way round.

    A `before` that raises fails the attempt, as if the task had raised. An `after` that raises is logged. Neither is
    called for a message that does not come to run: unknown task, arguments that do not fit.
    """

    def before(self, message: Message) -> None:
        """The task is about to run."""

    def after(self, message: Message, outcome: Outcome) -> None:
        """It ran: `outcome` is Done, Failed or Parked."""
