"""The work queue as programs see it: declare tasks, send them. Running them is leveret.worker's part.

from leveret.tasks import WorkQueue
"""

from leveret.errors import TaskCancelled, TaskFailed, TimeLimitExceeded
from leveret.tasks.context import TaskContext, current_message, current_task
from leveret.tasks.handler import Consumer, Handler
from leveret.tasks.message import Message
from leveret.tasks.middleware import Middleware
from leveret.tasks.outcome import Cancelled, Done, Failed, Failure, Outcome, Parked
from leveret.tasks.replies import Progress
from leveret.tasks.retries import Reject, Retries, Retry
from leveret.tasks.sent import Sent, wait_many, wait_many_async
from leveret.tasks.task import Call, Task
from leveret.tasks.topology import Queue
from leveret.tasks.workqueue import WorkQueue

__all__ = [
    "Call",
    "Cancelled",
    "Consumer",
    "Done",
    "Failed",
    "Failure",
    "Handler",
    "Message",
    "Middleware",
    "Outcome",
    "Parked",
    "Progress",
    "Queue",
    "Reject",
    "Retries",
    "Retry",
    "Sent",
    "Task",
    "TaskCancelled",
    "TaskContext",
    "TaskFailed",
    "TimeLimitExceeded",
    "WorkQueue",
    "current_message",
    "current_task",
    "wait_many",
    "wait_many_async",
]
