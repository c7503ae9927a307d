"""The programs in docs/monitoring.md and docs/events.md run as they stand there, and the fields of events are on the page."""

from __future__ import annotations

import json
import re
import socket
import threading
import urllib.request
from pathlib import Path
from typing import Any

import msgspec
import pytest

from examples.programs import EXAMPLES, PYTHON, Heard, Program, leveret_worker
from examples.snippets import run, runs
from leveret.contrib.prometheus import DUE
from leveret.tasks import events

DOCS = EXAMPLES.parent / "docs"
SEND_S = 60


TRACING = """
import sys
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

def line(span):
    return f"span {span.name} {span.context.trace_id} {span.parent.span_id if span.parent else 0}\\n"

trace.set_tracer_provider(TracerProvider())
trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(formatter=line)))
"""


@runs("monitoring.md", 0)
def test_opentelemetry(blocks: list[str], environment: dict[str, str], tmp_path: Path, name: str) -> None:
    program = TRACING + blocks[0].replace("WorkQueue(", f"WorkQueue(default_queue='{name}', ")
    (tmp_path / "app.py").write_text(program)
    with leveret_worker("app", tmp_path, environment) as worker:
        sender = (
            "import app\nfrom opentelemetry import trace\n"
            "with trace.get_tracer('t').start_as_current_span('request') as span:\n"
            "    app.thumbnail.send('hare.png')\n"
            "open('trace', 'w').write(str(span.get_span_context().trace_id))"
        )
        run(sender, tmp_path, environment)
        trace_id, parent = worker.word("span", "process", name).split()
    assert trace_id == (tmp_path / "trace").read_text() and parent != "0"


@runs("monitoring.md", 1)
def test_prometheus(blocks: list[str], environment: dict[str, str], tmp_path: Path, name: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = blocks[0].replace("9191", str(port))
    (tmp_path / "app.py").write_text(program.replace("WorkQueue(", f"WorkQueue(default_queue='{name}', "))
    (tmp_path / "metrics").mkdir()
    shared = {**environment, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "metrics")}
    with leveret_worker("app", tmp_path, shared, "--processes", "2") as worker:
        run("import app; app.thumbnail.send('hare.png')", tmp_path, environment)
        worker.until(lambda line: "done task=thumbnail" in line)
        ended = f'leveret_tasks_ended_total{{outcome="done",queue="{name}",task="thumbnail"}} 1.0'
        pause = threading.Event()
        for _ in range(600):
            if ended in scraped(port):
                break
            pause.wait(0.1)
        text = scraped(port)
    assert ended in text
    page = (DOCS / "monitoring.md").read_text()
    served = set(re.findall(r"^# TYPE (leveret_\w+)", text, re.MULTILINE))
    assert served and [one for one in sorted(served) if f"`{one}" not in page] == []


def scraped(port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=SEND_S) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


SENTRY = """
import json
import sentry_sdk
from sentry_sdk.transport import Transport

class Fake(Transport):
    def capture_envelope(self, envelope):
        event = envelope.get_event()
        if event:
            said = {
                "transaction": event["transaction"],
                "task": event["contexts"]["task"],
                "error": event["exception"]["values"][-1]["value"],
                "variables": event["exception"]["values"][-1]["stacktrace"]["frames"][-1]["vars"],
            }
            print("captured", json.dumps(said), flush=True)

sentry_sdk.init("http://key@127.0.0.1:1/1", transport=Fake)
"""
FAILING = """
from leveret.tasks import Retries

@work.task(retry=Retries(2, first_s=0))
def divide(by: int) -> float:
    return 1 / by

if __name__ == "__main__":
    divide.send(0)
"""


@runs("monitoring.md", 2)
@pytest.mark.parametrize("each", [False, True])
def test_sentry(blocks: list[str], environment: dict[str, str], tmp_path: Path, name: str, each: bool) -> None:
    recipe = blocks[0].replace("WorkQueue(", f"WorkQueue(default_queue='{name}', ")
    if each:
        recipe = recipe.replace("[Sentry()]", "[Sentry(each=True)]")
    (tmp_path / "app.py").write_text(SENTRY + recipe + FAILING)
    run("import app; app.divide.send(0)", tmp_path, environment)
    with leveret_worker("app", tmp_path, environment) as worker:
        captured: list[dict[str, Any]] = [json.loads(worker.word("captured")) for _ in range(2 if each else 1)]
    assert [one["task"]["attempt"] for one in captured] == ([1, 2] if each else [2])
    last = captured[-1]
    assert (last["transaction"], last["task"]["name"], last["error"]) == ("divide", "divide", "division by zero")
    assert len(last["task"]["id"]) == 36 and last["variables"] == {"by": "0"}


APP = """
from leveret.tasks import Retries, WorkQueue
work = WorkQueue(default_queue="mail")

@work.task(retry=Retries(1))
def send(text: str) -> None:
    if text == "bad":
        raise ValueError("no such hare")
"""


@pytest.mark.parametrize(
    ("number", "text", "wanted"),
    [
        (0, "bad", ["send failed in attempt 1: ValueError: no such hare", "send is parked: attempts"]),
        (1, "good", ["send "]),
    ],
)
@runs("events.md", 0, 1)
def test_whoever_listens_hears(
    blocks: list[str], environment: dict[str, str], tmp_path: Path, number: int, text: str, wanted: list[str]
) -> None:
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "listener.py").write_text(blocks[number])
    heard = Heard()
    with leveret_worker("app", tmp_path, environment):
        listener = Program(["listener"], tmp_path, environment, heard, PYTHON)
        try:
            # A task that is over before anybody listens is not heard of: send until one is.
            stop = threading.Event()
            sending = threading.Thread(target=again_and_again, args=(stop, text, tmp_path, environment))
            sending.start()
            try:
                for line in wanted:
                    heard.until(lambda said, line=line: said.startswith(line))  # type: ignore[misc]
            finally:
                stop.set()
                sending.join()
        finally:
            listener.kill()


def again_and_again(stop: threading.Event, text: str, folder: Path, environment: dict[str, str]) -> None:
    while not stop.wait(0.5):
        run(f"import app; app.send.send({text!r})", folder, environment)


def test_every_kind_of_event_and_every_field_is_on_the_page() -> None:
    page = (DOCS / "events.md").read_text()
    kinds = [kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, msgspec.Struct)]
    names = {field for kind in kinds for field in kind.__struct_fields__} | set(events.KINDS)
    assert [name for name in sorted(names) if f"`{name}`" not in page] == []


def test_the_header_of_senders_that_count_is_with_the_others() -> None:
    assert f"`{DUE}`" in (DOCS / "message-format.md").read_text()
