"""Django's own tasks through Leveret: enqueued by a Django process, run by a real `leveret worker` process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pika.adapters.blocking_connection import BlockingChannel

from brokers import Broker
from examples.programs import Heard, leveret_worker
from worker.support import declare_filled

pytest.importorskip("django.tasks", reason="django.tasks needs Django 6, which needs Python 3.12")

SEND_S = 60
SETTINGS = """
import os
from leveret.tasks import Retries

SECRET_KEY = "of a test"
USE_TZ = True
INSTALLED_APPS = ["hares"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
TASKS = {
    "default": {
        "BACKEND": "leveret.contrib.django_tasks.LeveretBackend",
        "QUEUES": [os.environ["QUEUE"], os.environ["QUEUE"] + ".more"],
        "OPTIONS": {"retry": Retries(attempts=3, first_s=0.1)},
    }
}
"""
JOBS = """
import os
from datetime import date
from django.dispatch import receiver
from django.tasks import task
from django.tasks.signals import task_enqueued, task_finished, task_started

QUEUE = os.environ["QUEUE"]


def say(*words):
    print(" ".join(map(str, words)) + "\\n", end="", flush=True)


@task(queue_name=QUEUE)
def add(a, b: date, *, more=0):
    say("add", repr(a), repr(b), more)
    return [a, more]


@task(queue_name=QUEUE)
async def add_async(a, b):
    say("async", a + b)


@task(queue_name=QUEUE, takes_context=True)
def fail(context, text):
    say("attempt", context.attempt, context.task_result.id)
    raise ValueError(text)


def no_task():
    say("never")


@receiver(task_enqueued)
def enqueued(sender, task_result, **_):
    say("enqueued", task_result.id)


@receiver(task_started)
def started(sender, task_result, **_):
    say("started", task_result.task.name)


@receiver(task_finished)
def finished(sender, task_result, **_):
    errors = [error.exception_class.__name__ for error in task_result.errors]
    value = task_result.return_value if task_result.status == "SUCCESSFUL" else None
    say("finished", task_result.task.name, task_result.status, value, errors)
"""


@pytest.fixture
def environment(broker: Broker, name: str) -> dict[str, str]:
    return {"LEVERET_URL": broker.url, "QUEUE": name, "DJANGO_SETTINGS_MODULE": "hare_settings"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "hare_settings.py").write_text(SETTINGS)
    (tmp_path / "hares").mkdir()
    (tmp_path / "hares" / "__init__.py").touch()
    (tmp_path / "hares" / "jobs.py").write_text(JOBS)
    return tmp_path


@pytest.fixture
def worker(folder: Path, environment: dict[str, str]) -> Iterator[Heard]:
    with leveret_worker("leveret.contrib.django_worker", folder, environment) as heard:
        yield heard


def in_django(code: str, folder: Path, environment: dict[str, str]) -> str:
    """What a program of that project prints."""
    program = f"import django; django.setup()\nfrom hares.jobs import *\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=SEND_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_an_enqueued_task_is_run_with_its_plain_arguments(
    folder: Path, environment: dict[str, str], worker: Heard
) -> None:
    code = "result = add.enqueue({'x': [1]}, '2026-11-28', more=2); print(result.id, result.status)"
    sent, ready = in_django(code, folder, environment).splitlines()
    assert ready == sent.removeprefix("enqueued ") + " READY"
    assert worker.word("started") == "add"
    assert worker.word("add") == "{'x': [1]} '2026-11-28' 2"
    assert worker.word("finished", "add") == "SUCCESSFUL [{'x': [1]}, 2] []"


def test_async_tasks_and_aenqueue(folder: Path, environment: dict[str, str], worker: Heard) -> None:
    in_django("import asyncio; asyncio.run(add_async.aenqueue(20, 22))", folder, environment)
    assert worker.word("async") == "42"
    assert worker.word("finished", "add_async") == "SUCCESSFUL None []"


def test_a_task_may_go_to_another_queue_of_the_backend(
    folder: Path, environment: dict[str, str], worker: Heard, name: str
) -> None:
    in_django("add_async.using(queue_name=QUEUE + '.more').enqueue(1, 2)", folder, environment)
    assert worker.word("async") == "3"
    worker.until(lambda line: "done task=hares.jobs.add_async id=" in line and f"queue={name}.more " in line)


def test_run_after_is_kept(folder: Path, environment: dict[str, str], worker: Heard) -> None:
    code = """
from datetime import timedelta
from django.utils import timezone
due = timezone.now() + timedelta(seconds=1.5)
add.using(run_after=due).enqueue(1, '')
print("due", due.timestamp())
"""
    due = float(in_django(code, folder, environment).splitlines()[-1].removeprefix("due "))
    assert worker.word("add") == "1 '' 0"
    assert time.time() >= due


def test_what_fails_is_tried_again_then_parked(
    folder: Path, environment: dict[str, str], worker: Heard, name: str, channel: BlockingChannel
) -> None:
    sent = in_django("print(fail.enqueue('no hare').id)", folder, environment).splitlines()[-1]
    assert [worker.word("attempt") for _ in range(3)] == [f"{number} {sent}" for number in (1, 2, 3)]
    assert worker.word("finished", "fail") == "FAILED None ['ValueError']"
    declare_filled(channel, f"{name}.dead")
    for _, properties, _ in channel.consume(f"{name}.dead", auto_ack=True, inactivity_timeout=60):
        assert properties is not None and properties.message_id == sent
        assert properties.headers["x-leveret-error"] == "no hare"
        break


@pytest.mark.parametrize("path", ["hares.jobs.no_task", "hares.nowhere.add", "os.system", "nonsense"])
def test_only_django_s_tasks_are_run(folder: Path, environment: dict[str, str], worker: Heard, path: str) -> None:
    code = f"""
import os
from leveret.tasks import WorkQueue
WorkQueue(os.environ["LEVERET_URL"]).task(name={path!r}, queue=QUEUE)(lambda command: None).send("true")
"""
    in_django(code, folder, environment)
    worker.until(lambda line: f"parked task={path} " in line and "reason=unknown-task" in line)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("add.using(priority=3)", "InvalidTask"),
        ("add.using(queue_name='elsewhere')", "InvalidTask"),
        ("add.enqueue(object(), 1)", "TypeError"),
        ("add.get_result('1')", "NotImplementedError"),
    ],
)
def test_what_the_backend_cannot_do_it_refuses(
    folder: Path, environment: dict[str, str], code: str, error: str
) -> None:
    program = f"try: {code}\nexcept Exception as error: print(type(error).__name__)"
    assert in_django(program, folder, environment).strip() == error


def test_all_threads_send_through_one_connection(folder: Path, environment: dict[str, str]) -> None:
    code = """
import threading
from django.tasks import task_backends
found = []
threads = [threading.Thread(target=lambda: found.append(task_backends["default"])) for _ in range(3)]
for thread in threads: thread.start(); thread.join()
print(len({id(backend) for backend in found}), len({id(backend.work) for backend in found}))
"""
    assert in_django(code, folder, environment).strip() == "3 1"
