"""The work queue as programs see it: declare tasks, send them. Running them is leveret.worker's part.

from leveret.tasks import WorkQueue
"""

from leveret.errors import TaskCancelled, TaskExpired, TaskFailed, TimeLimitExceeded
from leveret.tasks.context import TaskContext, current_message, current_task
from leveret.tasks.handler import Consumer, Handler
from leveret.tasks.injection import inject
from leveret.tasks.limits import Concurrency, Rate, Unique
from leveret.tasks.message import Message
from leveret.tasks.middleware import Middleware, Outgoing
from leveret.tasks.outcome import Cancelled, Crashed, Done, Failed, Failure, Outcome, Parked
from leveret.tasks.replies import Progress
from leveret.tasks.retries import Reject, Retries, Retry
from leveret.tasks.sent import Sent, wait_many, wait_many_async
from leveret.tasks.task import Call, Task
from leveret.tasks.topology import Queue
from leveret.tasks.workflows import Chain, Group, SentWorkflow, chain, group
from leveret.tasks.workqueue import WorkQueue

__all__ = [
    "Call",
    "Cancelled",
    "Chain",
    "Concurrency",
    "Consumer",
    "Crashed",
    "Done",
    "Failed",
    "Failure",
    "Group",
    "Handler",
    "Message",
    "Middleware",
    "Outcome",
    "Outgoing",
    "Parked",
    "Progress",
    "Queue",
    "Rate",
    "Reject",
    "Retries",
    "Retry",
    "Sent",
    "SentWorkflow",
    "Task",
    "TaskCancelled",
    "TaskContext",
    "TaskExpired",
    "TaskFailed",
    "TimeLimitExceeded",
    "Unique",
    "WorkQueue",
    "chain",
    "current_message",
    "current_task",
    "group",
    "inject",
    "wait_many",
    "wait_many_async",
]
