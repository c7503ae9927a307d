"""Logs in text and JSON: a task's own lines carry its id; and what a worker says of itself when it starts. On both brokers."""

from __future__ import annotations

import json
import logging
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from brokers import Broker
from leveret.client import BasicProperties
from leveret.tasks import Message, TaskContext
from leveret.tasks.context import running
from leveret.worker.banner import banner
from leveret.worker.lines import JsonFormatter, TextFormatter
from leveret.worker.logs import name_task
from leveret.worker.options import Options
from leveret.worker.status import About
from worker.support import WITHIN_S, Program

TALKS = """
import asyncio, logging

@work.task
def talk(word: str) -> None:
    logging.getLogger("shop").warning("plain\\n%s", word)

@work.task
async def talk_async(word: str) -> None:
    await asyncio.sleep(0)
    logging.getLogger("shop").warning("async %s", word)

@work.task(process=True)
def talk_apart(word: str) -> None:
    try:
        raise ValueError("why")
    except ValueError:
        logging.getLogger("shop").exception("apart %s", word)

@work.schedule("0 3 * * *")
@work.task
def tidy() -> None: ...
"""


@pytest.fixture
def program(broker: Broker, name: str, tmp_path: Path) -> Iterator[Program]:
    made = Program(tmp_path, broker.url, f"logs.{name}", TALKS)
    yield made
    made.close()


def test_every_line_is_json_and_a_tasks_own_lines_name_it(program: Program) -> None:
    supervisor, log = program.worker(log_format="json")
    sent = {
        name: program.work.task(name=name)(lambda word: None).send("x") for name in ("talk", "talk_async", "talk_apart")
    }
    for _ in sent:
        log.until('"logger":"shop"')
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(WITHIN_S) == 0
    lines = [json.loads(line) for line in log.to_the_end()]
    own = {line["task"]: line for line in lines if line["logger"] == "shop"}
    for name, one in sent.items():
        line = own[name]
        assert (line["id"], line["queue"], line["attempt"]) == (one.id, program.queue, 1)
        assert {"time", "level", "pid", "message"} <= line.keys()
    assert own["talk"]["message"] == "plain\nx"
    assert "ValueError: why" in own["talk_apart"]["traceback"]
    ended = {line["id"] for line in lines if line["message"].startswith("done ")}
    assert ended == {one.id for one in sent.values()}
    ready = next(line for line in lines if line["message"].startswith("worker ready"))
    assert "id" not in ready


def test_in_text_they_name_it_too(program: Program) -> None:
    supervisor, log = program.worker()
    sent = program.work.task(name="talk_async")(lambda word: None).send("x")
    assert log.until("async x").endswith(f"async x task=talk_async id={sent.id}")
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(WITHIN_S) == 0
    log.to_the_end()


def test_less_is_said_at_a_higher_level(program: Program) -> None:
    supervisor, log = program.worker(log_level="warning")
    program.work.task(name="talk")(lambda word: None).send("x")
    log.until("plain")
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(WITHIN_S) == 0
    assert not any(" INFO " in line for line in log.to_the_end())


def test_a_program_that_sets_up_its_logging_keeps_that(broker: Broker, name: str, tmp_path: Path) -> None:
    own = 'import logging\nlogging.basicConfig(format="own %(message)s", level="INFO")\n'
    program = Program(tmp_path, broker.url, f"logs.{name}", own)
    try:
        supervisor, log = program.worker(log_format="json")
        assert log.until("worker ready").startswith("own worker ready")
        supervisor.send_signal(signal.SIGTERM)
        assert supervisor.wait(WITHIN_S) == 0
    finally:
        program.close()


def test_it_says_at_the_start_what_it_works_for(program: Program) -> None:
    supervisor, log = program.worker(threads=3)
    log.until("works for program.py")
    said = [log.next() or "" for _ in range(5)]
    assert [line.split()[0] for line in said] == ["broker", "queues", "at", "tasks", "schedules"]
    assert "guest:***@" in said[0]
    assert program.queue in said[1]
    assert "1 × 3" in said[2]
    assert "slow, talk, talk_apart, talk_async, tidy" in said[3]
    assert "tidy: " in said[4]
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(WITHIN_S) == 0


def test_its_greeting_fits_on_a_screen_unless_all_is_asked_for() -> None:
    about = About("amqp://broker", ["q"], [f"task{n}" for n in range(100)], [f"s{n}: daily" for n in range(100)])
    short = banner("app.py", Options(), about)
    assert len(short.splitlines()) <= 24
    assert "and 88 more (--verbose)" in short
    assert "task99" in banner("app.py", Options(verbose=True), about)


@pytest.mark.parametrize("value", ["\ud800", b"\xff", object(), {1: object()}])
def test_whatever_is_logged_makes_one_line_of_json(value: object) -> None:
    record = logging.LogRecord("shop", logging.INFO, __file__, 1, "line\n%s", (value,), None)
    message = Message("q", b"", BasicProperties(type="t", message_id="\u2028 id"), 2, False)
    with running(TaskContext(message)):
        assert name_task(record)
    text = JsonFormatter().format(record)
    assert "\n" not in text
    assert json.loads(text)["attempt"] == 2
    assert TextFormatter("%(message)s").format(record).endswith("task=t id=\u2028 id")
