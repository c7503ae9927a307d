"""The work queue as programs see it: declare tasks, send them. Running them is leveret.worker's part.

from leveret.tasks import WorkQueue
"""

from leveret.tasks.handler import Call, Consumer, Handler, Sent, Task
from leveret.tasks.message import Message, current_message
from leveret.tasks.middleware import Middleware
from leveret.tasks.outcome import Done, Failed, Failure, Outcome, Parked
from leveret.tasks.retries import Reject, Retries, Retry
from leveret.tasks.workqueue import WorkQueue

__all__ = [
    "Call",
    "Consumer",
    "Done",
    "Failed",
    "Failure",
    "Handler",
    "Message",
    "Middleware",
    "Outcome",
    "Parked",
    "Reject",
    "Retries",
    "Retry",
    "Sent",
    "Task",
    "WorkQueue",
    "current_message",
]
