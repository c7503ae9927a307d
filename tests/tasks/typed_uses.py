"""Right and wrong uses of tasks, for type checkers: never run. test_typing says whether mypy finds what stands behind `# error:`.

A line without such a comment has to be right; each one that has it has to be wrong in those words.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import assert_type

from leveret import WorkQueue, wait_many
from leveret.tasks import Call, Queue, Retries, Sent, Task, TaskContext, current_task, inject, wait_many_async

work = WorkQueue(retry=Retries(3), results=True)


@work.task
def resize(path: Path, width: int = 200, *, grey: bool = False) -> str:
    return str(path)


@work.task(queue="mail", time_limit=timedelta(minutes=1), aliases=("fetch_page",), retry=Retries(attempts=2))
async def fetch(url: str) -> bytes:
    return url.encode()


@work.task(queu="mail")  # error: Unexpected keyword argument "queu"
def misspelt() -> None: ...


@work.task(priority="high")  # error: No overload variant of "task" of "WorkQueue" matches argument type "str"
def urgent() -> None: ...


# ---- the decorated function is still what it was

assert_type(resize(Path("hare.png"), grey=True), str)
resize("hare.png")  # error: incompatible type "str"; expected "Path"


async def called() -> None:
    assert_type(await fetch("http://hare/"), bytes)


# ---- sending

assert_type(resize.send(Path("hare.png"), width=300), Sent[str])
resize.send("hare.png")  # error: incompatible type "str"; expected "Path"
resize.send(Path("hare.png"), 300, True)  # error: Too many positional arguments
resize.send(width=300)  # error: Missing positional argument "path"
resize.send(Path("hare.png"), height=300)  # error: Unexpected keyword argument "height"
fetch.send(url=5)  # error: incompatible type "int"; expected "str"


async def sending() -> None:
    assert_type(await resize.send_async(Path("hare.png")), Sent[str])
    assert_type(await fetch.send_async("http://hare/"), Sent[bytes])
    await fetch.send_async(b"http://hare/")  # error: incompatible type "bytes"; expected "str"


# ---- results: of an async task what it awaits to

assert_type(resize.send(Path("hare.png")).result(), str)
assert_type(fetch.send("http://hare/").result(timeout_s=5), bytes)
number: int = resize.send(Path("hare.png")).result()  # error: expression has type "str", variable has type "int"
assert_type(wait_many([fetch.send("http://hare/")]), list[bytes])


async def awaiting() -> None:
    assert_type(await (await fetch.send_async("http://hare/")).result_async(), bytes)
    await wait_many_async([await fetch.send_async("http://hare/")])


# ---- calls and options

assert_type(resize.call(Path("hare.png")), Call[str])
assert_type(fetch.call("http://hare/"), Call[bytes])
fetch.call()  # error: Missing positional argument "url"
work.send_many([fetch.call("http://hare/")])
assert_type(resize.options(delay=60, priority=5).send(Path("hare.png")), Sent[str])
assert_type(fetch.options(eta=datetime.now(UTC)).send("http://hare/").result(), bytes)
resize.options(dealy=60)  # error: Unexpected keyword argument "dealy"
resize.options(delay="soon")  # error: incompatible type "str"; expected "float | timedelta"
resize.options(delay=60).send(5)  # error: incompatible type "int"; expected "Path"


# ---- schedules leave the task what it is


@work.schedule("0 3 * * *", tz="Europe/Berlin")
@work.schedule(every=timedelta(hours=1), name="hourly", args=("hare",))
@work.task
def tidy(place: str = "") -> int:
    current_task().progress(1, 10)
    return 0


assert_type(tidy.send("hare").result(), int)
tidy.send(5)  # error: incompatible type "int"; expected "str"


@work.schedule("0 3 * * *", catch_up="some")  # error: incompatible type "Literal['some']"
@work.task
def often() -> None: ...


# ---- what is injected is of the type that its provider gives, and no sender's affair


class Session:
    def charge(self, order: int) -> None: ...


def open_session() -> Iterator[Session]:
    yield Session()


async def open_session_later() -> AsyncIterator[Session]:
    yield Session()


async def fetched() -> str:
    return "fetched"


@work.task
async def charge(
    order: int,
    db: Session = inject(open_session),
    later: Session = inject(open_session_later),
    *,
    text: str = inject(fetched),
    number: int = inject(lambda: 5, scope="process"),
    task: TaskContext = inject(),
) -> bool:
    db.charge(order)
    return task.cancelled


assert_type(charge.send(7).result(), bool)
charge.send("seven")  # error: incompatible type "str"; expected "int"


@work.task
def wrong(db: int = inject(open_session)) -> None: ...  # error: default has type "Session"


with work.override(open_session, Session):
    charge.send(7)


# ---- older versions, results that are kept


@fetch.accepts(version=1)
def _(address: Path) -> Call[bytes]:
    return fetch.call(str(address))


@fetch.accepts(version=1)  # error: incompatible type "Callable[[], Call[int]]"
def _() -> Call[int]:
    return tidy.call()


assert_type(work.sent("id", fetch), Sent[bytes])
kept: str = work.sent("id", fetch).result()  # error: expression has type "bytes", variable has type "str"


# ---- consumer functions


@work.consumer("readings")
def take(body: bytes) -> None: ...


take("text")  # error: incompatible type "str"; expected "bytes"
take.send(b"")  # error: has no attribute "send"
mail: Queue = work.queue("mail", priorities=10)


def number_of(task: Task[[int], int, int]) -> Sent[int]:
    return task.send(5)


number_of(tidy)  # error: incompatible type "Task[[str], int, int]"; expected "Task[[int], int, int]"
