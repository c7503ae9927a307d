"""The programs in docs/outbox.md run as they stand there: with SQLAlchemy in a test's harness, with Django in a process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from examples.snippets import run, runs
from leveret.contrib.sqlalchemy import Outbox
from leveret.tasks import WorkQueue
from leveret.testing.harness import Harness, harness

RELAY_S = 30


class Base(DeclarativeBase): ...


class Order(Base):
    __tablename__ = "shop_order"
    id: Mapped[int] = mapped_column(primary_key=True)


@pytest.fixture
def work() -> WorkQueue:
    work = WorkQueue("amqp://nobody@nowhere.invalid")
    for name in ("confirm", "remind"):
        work.task(name=name)(lambda order: None)
    return work


@pytest.fixture
def work_queue(work: WorkQueue, monkeypatch: pytest.MonkeyPatch) -> Iterator[Harness]:
    monkeypatch.delenv("LEVERET_TEST_URL", raising=False)
    with harness(work) as one:
        yield one


@pytest.fixture
def names(work: WorkQueue, tmp_path: Path) -> dict[str, Any]:
    """What the pages' programs have besides."""
    engine = create_engine(f"sqlite:///{tmp_path}/shop.db")
    return {
        "work": work,
        "Base": Base,
        "engine": engine,
        "Session": Session,
        "order": Order(),
        "timedelta": timedelta,
        **work.tasks,
    }


def with_tables(block: str, names: dict[str, Any]) -> None:
    """The block, with the tables made where it says that they are: before the first transaction."""
    declared, begun, rest = block.partition("with Session")
    exec(declared, names)
    Base.metadata.create_all(names["engine"])
    exec(begun + rest, names)


@runs("outbox.md", 0)
def test_the_wrong_way_sends_before_the_commit(blocks: list[str], names: dict[str, Any], work_queue: Harness) -> None:
    session = Session(names["engine"])
    Base.metadata.create_all(names["engine"])
    names["order"].id = 7
    with pytest.raises(RuntimeError), session.begin():
        exec(
            blocks[0].replace("with Session(engine) as session, session.begin():", "if True:"),
            {**names, "session": session},
        )
        raise RuntimeError("rolled back")
    work_queue.assert_enqueued("confirm", 7)
    session.close()


@runs("outbox.md", 1, 2, 5)
def test_what_is_committed_is_relayed(blocks: list[str], names: dict[str, Any], work_queue: Harness) -> None:
    sending, relaying, testing = blocks
    with_tables(sending, names)
    engine, outbox = names["engine"], names["outbox"]
    assert isinstance(engine, Engine) and isinstance(outbox, Outbox)
    served = threading.Event()

    def serve() -> None:
        for _ in range(RELAY_S * 50):
            if len(work_queue.enqueued()) == 2:
                served.set()
                return
            served.wait(0.02)

    exec(relaying, {**names, "serve": serve})
    assert served.is_set()
    with Session(engine) as session:
        number = session.scalars(select(Order.id)).one()
    work_queue.assert_enqueued("confirm", number)
    assert work_queue.assert_enqueued("remind", number).due > timedelta(days=2)

    def place_order(engine: Engine, number: int) -> None:
        with Session(engine) as session, session.begin():
            outbox.send(session, work_queue.work.tasks["confirm"].call(number))

    names_then: dict[str, Any] = {**names, "place_order": place_order}
    exec(testing, names_then)
    names_then["test_an_order_is_confirmed"](work_queue, engine)


DJANGO = """
import django
from django.conf import settings
{settings}
settings.configure(
    INSTALLED_APPS=[app for app in INSTALLED_APPS if app is not ...],
    DATABASES={{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": "shop.db"}}}},
    LEVERET_APP=LEVERET_APP,
)
django.setup()
from django.core.management import call_command
from django.db import transaction
from leveret.contrib.django.outbox import Relay
from leveret.testing.harness import harness
from shop.tasks import confirm, work
call_command("migrate", verbosity=0)

class order:
    pk = 7
    save = staticmethod(lambda: None)

{sending}
with harness(work) as work_queue:
    assert Relay(work).once() == 1
    work_queue.assert_enqueued(confirm, 7)
"""


@runs("outbox.md", 3, 4)
def test_the_same_with_django(blocks: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LEVERET_TEST_URL", raising=False)
    (tmp_path / "shop").mkdir()
    task = "from leveret.tasks import WorkQueue\nwork = WorkQueue()\nconfirm = work.task(name='confirm')(lambda order: None)\n"
    (tmp_path / "shop" / "tasks.py").write_text(task)
    run(DJANGO.format(settings=blocks[0], sending=blocks[1]), tmp_path)
