"""Leveret's own question what is remembered of a task: who may read its queue is told, nobody else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from brokers import Broker, Leveret
from leveret.tasks import WorkQueue
from management.support import Api
from worker.support import until, working


@pytest.fixture(scope="module")
def broker_here() -> Iterator[Broker]:
    own = Leveret(management=True)
    try:
        own.start()
        yield own
    finally:
        own.remove()


def test_what_is_remembered_of_a_task_is_told_to_who_may_read_its_queue(broker_here: Broker, name: str) -> None:
    api = Api(broker_here)
    for user, tag, readable in (("reader", "management", ".*"), ("other", "monitoring", "^else$")):
        assert api("PUT", f"/users/{user}", {"password": "p", "tags": tag}).status == 201
        permissions = {"configure": "", "write": "", "read": readable}
        assert api("PUT", f"/permissions/%2F/{user}", permissions).status == 201
    work = WorkQueue(broker_here.url, default_queue=name)
    task = work.task(name="quick")(lambda: None)
    with working(work, threads=1):
        id = task.send().id
        path = f"/history/tasks/{id}"
        until(lambda: "succeeded" in api("GET", path).text)
    work.close()
    (life,) = api("GET", path).json
    row = life["row"]
    assert (row["id"], row["vhost"], row["queue"], row["task"]) == (id, "/", name, "quick")
    assert [one["what"] for one in life["life"]] == ["started", "succeeded"]
    assert Api(broker_here, "reader:p")("GET", path).status == 200
    assert Api(broker_here, "other:p")("GET", path).status == 404


def test_of_what_nobody_remembers_nothing_is_found(broker_here: Broker) -> None:
    assert Api(broker_here)("GET", "/history/tasks/never%2Fsent").status == 404
