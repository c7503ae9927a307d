"""Every exception Leveret raises, in one hierarchy.

An AMQP error carries its reply code, its scope (does it end a channel or the whole connection) and the
class and method it answers, as `channel.close` and `connection.close` report them.
"""


class LeveretError(Exception):
    """Base of every error of this package."""


class AMQPError(LeveretError):
    """A protocol-level refusal. `text` begins with the code's name, as RabbitMQ writes it."""

    def __init__(self, code: int, text: str, class_id: int = 0, method_id: int = 0) -> None:
        super().__init__(f"{code} {text}")
        self.code = code
        self.text = text
        self.class_id = class_id
        self.method_id = method_id


class ChannelError(AMQPError):
    """Ends the channel on which it happened; the connection goes on."""


class ConnectionError(AMQPError):
    """Ends the whole connection."""


class Sated(LeveretError):
    """What the client asks for now has to wait: answers to what it asked before are to be written first."""


class CodecError(LeveretError):
    """Bytes that are not the AMQP value they claim to be."""


class ProtocolMisuse(LeveretError):
    """This side tried to send what the protocol does not allow in the present state; nothing was sent."""


class StoreError(LeveretError):
    """The message store cannot be opened or written; the message says what to do."""


class StoreInUse(StoreError):
    """Another broker holds the message store's directory: it runs, or is about to end."""


class ConfigError(LeveretError):
    """The broker's configuration is wrong; the message, one line, names the place and the key."""


class ClientError(LeveretError):
    """Base of what the client reports to its user."""


class ConnectionLost(ClientError):
    """The connection ended while a reply was awaited."""


class WaitTimeout(ClientError, TimeoutError):
    """A bounded wait ran out; the message names what was awaited and for how long."""


class Unroutable(ClientError):
    """A mandatory message was returned: no queue is bound for its routing key."""


class Nacked(ClientError):
    """The broker refused a published message (basic.nack)."""


class Duplicate(ClientError):
    """A unique task is not sent, for another one has its key: that of `id`, which is empty if the broker does not tell."""

    def __init__(self, id: str) -> None:
        super().__init__(f"the task is unique, and {id or 'another one'} has its key")
        self.id = id


class PartlySent(ClientError):
    """Of `count` messages sent together some were not confirmed: `errors` has the reason of each, by its place."""

    def __init__(self, count: int, errors: dict[int, Exception]) -> None:
        first = min(errors)
        super().__init__(f"{len(errors)} of {count} messages were not confirmed; number {first}: {errors[first]}")
        self.count = count
        self.errors = errors


class TaskError(LeveretError):
    """Wrong use of the work queue: unknown task, arguments that do not fit, bad application path."""


class TaskFailed(LeveretError):
    """A task whose result was awaited failed for good: `exception` is the name of its error's type, `reason` why it is not
    tried again (see tasks/outcome).
    """

    def __init__(self, task: str, exception: str, text: str, traceback: str, reason: str) -> None:
        super().__init__(
            f"task {task!r} failed ({reason}): {exception}: {text}" if exception else f"task {task!r}: {text}"
        )
        self.task = task
        self.exception = exception
        self.text = text
        self.traceback = traceback
        self.reason = reason


class TaskCancelled(TaskFailed):
    """A task was cancelled. Raised by its own `raise_if_cancelled`, and to those who await its result."""


class TaskExpired(TaskFailed):
    """A task whose result was awaited was not begun before its `expires`."""


class ResultsUnavailable(LeveretError):
    """The store in which results are kept cannot be reached; the message says which and why."""


class TimeLimitExceeded(LeveretError):
    """Raised inside a task that ran longer than its time limit."""

    def __init__(self, text: str = "the task ran longer than its time limit") -> None:
        super().__init__(text)


class TaskCrashed(LeveretError):
    """Stands in the headers of a message whose task ran in a process of its own that died: the text says how."""


class ManagementError(LeveretError):
    """A management API cannot be reached, or did not answer as one; the message says which and why."""


class Declined(ManagementError):
    """It answered, but not with what was asked for. `status` is HTTP's."""

    def __init__(self, where: str, status: int, reason: str) -> None:
        super().__init__(f"{where} answered {status}: {reason}")
        self.status = status
        self.reason = reason


class InvalidSetting(LeveretError):
    """What an administrator asks for cannot be: a user, permission, policy or limit. `reason` is in RabbitMQ's words,
    where it has any: a text, or what its HTTP API answers in place of one.
    """

    def __init__(self, reason: object) -> None:
        super().__init__(str(reason))
        self.reason = reason
