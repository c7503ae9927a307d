"""The work queue as programs see it: declare tasks, send them. Running them is leveret.worker's part.

from leveret.tasks import WorkQueue
"""

from leveret.tasks.handler import Consumer, Handler, Sent, Task
from leveret.tasks.message import Message, current_message
from leveret.tasks.middleware import Middleware
from leveret.tasks.outcome import Done, Failed, Failure, Outcome, Parked
from leveret.tasks.workqueue import WorkQueue

__all__ = [
    "Consumer",
    "Done",
    "Failed",
    "Failure",
    "Handler",
    "Message",
    "Middleware",
    "Outcome",
    "Parked",
    "Sent",
    "Task",
    "WorkQueue",
    "current_message",
]
