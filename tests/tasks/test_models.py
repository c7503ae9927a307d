"""Models of Pydantic as arguments and results: alone, inside collections and dataclasses; what does not validate is refused."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec
import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel, computed_field, field_validator
from pydantic.dataclasses import dataclass as pydantic_dataclass

from brokers import Broker
from leveret.errors import TaskError, TaskFailed
from leveret.tasks import Retries, WorkQueue
from leveret.tasks.signature import Signature
from worker.support import WITHIN_S, working


class Line(BaseModel):
    model_config = ConfigDict(extra="forbid")

    sku: str = Field(alias="stockKeepingUnit")
    count: int = Field(gt=0)

    @computed_field
    def text(self) -> str:
        return f"{self.count} of {self.sku}"


class Order(BaseModel):
    number: int
    lines: list[Line]
    placed: datetime

    @field_validator("lines")
    @classmethod
    def some(cls, lines: list[Line]) -> list[Line]:
        if not lines:
            raise ValueError("an order has at least one line")
        return lines


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)

    until: datetime
    within: timedelta


class Either(RootModel[Line | Strict]):
    pass


@dataclass
class Box:
    order: Order
    spare: Order | None = None


class Crate(msgspec.Struct):
    boxes: list[Box]


LINE = Line(stockKeepingUnit="hare", count=2)
ORDER = Order(number=7, lines=[LINE], placed=datetime(2026, 11, 24, 12))
STRICT = Strict(until=datetime(2026, 11, 24), within=timedelta(seconds=1.5))


def signature(kind: Any) -> Signature:
    def task(value: Any) -> None: ...

    task.__annotations__["value"] = kind
    return Signature(task, "t")


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Order, ORDER),
        (Order | None, ORDER),
        (Order | None, None),
        (list[Order], [ORDER, ORDER]),
        (dict[str, Order], {"a": ORDER}),
        (tuple[bytes, Order], (b"\xff", ORDER)),
        (Box, Box(ORDER)),
        (Crate, Crate([Box(ORDER, ORDER)])),
        (Strict, STRICT),
        (Either, Either(STRICT)),
        (Either, Either(LINE)),
    ],
    ids=str,
)
def test_a_model_arrives_as_it_was_sent(kind: Any, value: Any) -> None:
    one = signature(kind)
    assert one.decode(one.encode((value,), {})) == ((value,), {})


def test_what_is_sent_is_the_json_of_the_model() -> None:
    assert msgspec.json.decode(signature(Line).encode((LINE,), {})) == {
        "args": [{"stockKeepingUnit": "hare", "count": 2}],
        "kwargs": {},
    }


@pytest.mark.parametrize(
    ("kind", "value", "complaint"),
    [
        (
            Line,
            Line.model_construct(sku="hare", count=0),
            r"'value' does not fit: Line: count: Input should be greater",
        ),
        (Order, {"number": "x"}, r"Order: number: .* valid integer.*; lines: Field required; placed: Field required"),
        (list[Order], [ORDER, Order.model_construct(number=1, lines=[], placed=ORDER.placed)], r"at least one line"),
        (Box, {"order": 5}, r"Order: .*at `\$.order`"),
    ],
)
def test_what_does_not_validate_is_refused_at_the_sender_in_one_readable_line(
    kind: Any, value: Any, complaint: str
) -> None:
    with pytest.raises(TaskError, match=complaint) as raised:
        signature(kind).encode((value,), {})
    assert "\n" not in str(raised.value) and "pydantic.dev" not in str(raised.value)


@pydantic_dataclass
class Checked:
    count: int


@pytest.mark.parametrize(
    ("kind", "complaint"),
    [
        (Annotated[int, Field(gt=0)], "FieldInfo of Pydantic is heard only inside a model"),
        (list[Annotated[int, Field(gt=0)]], "heard only inside a model"),
        (list[Checked], "Checked is a dataclass of Pydantic: make it a BaseModel"),
        (Order | Line, "more than one custom type"),
    ],
)
def test_checks_that_would_not_be_made_are_told_before_anything_is_sent(kind: Any, complaint: str) -> None:
    with pytest.raises(TaskError, match=complaint):
        _ = signature(kind).decoders


def test_without_a_model_nothing_of_pydantic_is_imported() -> None:
    program = (
        "import sys; from leveret.tasks import WorkQueue; work = WorkQueue()\n"
        "task = work.task(name='t')(lambda path: None); task.call(1)\n"
        "assert not any(name.partition('.')[0].startswith('pydantic') for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.fixture
def work(broker: Broker, name: str) -> WorkQueue:
    return WorkQueue(broker.url, default_queue=f"models.{name}", retry=Retries(1), results=True)


def test_a_model_goes_to_a_worker_and_comes_back_as_its_result(work: WorkQueue) -> None:
    @work.task
    def double(order: Order) -> dict[str, Order]:
        return {"doubled": order.model_copy(update={"lines": order.lines * 2})}

    with working(work):
        assert double.send(ORDER).result(WITHIN_S)["doubled"].lines == [LINE, LINE]


def test_a_message_that_does_not_validate_is_parked_for_its_arguments(work: WorkQueue) -> None:
    takes_anything = WorkQueue(work.url, default_queue=work.default_queue, results=True)

    @work.task
    def pack(order: Order) -> None: ...

    @takes_anything.task(name="pack")
    def anything(order: Any) -> None: ...

    with working(work):
        sent = anything.send({"number": 7, "lines": [], "placed": "2026-11-24T12:00:00"})
        with pytest.raises(TaskFailed, match=r"\(arguments\).*Order: lines: Value error, an order has at least one"):
            sent.result(WITHIN_S)
    takes_anything.close()
