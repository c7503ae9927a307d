"""`leveret store check`'s judgement: a store in order has no problems, and each broken invariant is named."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from broker.support import World, consume
from leveret.broker import audit
from leveret.errors import StoreError
from leveret.store.archive import Archive
from leveret.store.batch import POSITION_BITS
from leveret.store.store import FILE_NAME


def problems(directory: Path, thorough: bool = True) -> list[str]:
    with Archive(directory / FILE_NAME) as archive:
        return list(audit.problems(archive, thorough, lambda what: None))


def lived(directory: Path) -> World:
    """A broker that has done a bit of everything, and still runs."""
    world = World(directory)
    vhost = world.broker.vhosts["/"]
    vhost.declare_exchange("x", "topic", True, False, False, {"alternate-exchange": "amq.fanout"})
    vhost.declare_exchange("late", "x-delayed-message", True, False, False, {"x-delayed-type": "direct"})
    jobs, urgent = world.queue("jobs", x_message_ttl=60_000), world.queue("urgent", x_max_priority=5)
    vhost.bind("x", jobs, "a.#", {})
    vhost.bind("late", urgent, "k", {})
    channel = world.client().channel()
    for number in range(20):
        world.publish(channel, b"%d" % number, key="jobs", headers={"n": number})
        world.publish(channel, b"%d" % number, key="urgent", priority=number % 5)
        world.publish_to(channel, world.address("k", False, "late"), b"later", headers={"x-delay": 60_000})
    world.settle()
    client = world.client()
    taker = client.channel()
    consume(taker, jobs, prefetch=5)
    taker.ack(2, False)
    taker.nack(3, False, requeue=True)
    world.settle()
    return world


@pytest.fixture
def store(tmp_path: Path) -> Path:
    world = lived(tmp_path)
    world.store.close()
    return tmp_path


def damage(directory: Path, *statements: str) -> None:
    connection = sqlite3.connect(directory / FILE_NAME, isolation_level=None)
    for statement in statements:
        assert connection.execute(statement).rowcount != 0
    connection.close()


def test_a_store_in_use_and_a_closed_one_are_in_order(tmp_path: Path) -> None:
    world = lived(tmp_path)
    assert problems(tmp_path) == []
    world.store.close()
    assert problems(tmp_path) == problems(tmp_path, thorough=False) == []


def test_what_is_seen_is_of_one_moment(tmp_path: Path) -> None:
    world = lived(tmp_path)
    with Archive(tmp_path / FILE_NAME) as archive:
        before = archive.queues()
        world.publish(world.client().channel(), b"new", key="urgent")
        world.settle()
        assert archive.queues() == before
        assert list(audit.problems(archive, True, lambda what: None)) == []
    world.store.close()


def test_paged_and_purged_messages_are_in_order(tmp_path: Path) -> None:
    world = World(tmp_path)
    target, passing = world.queue("jobs"), world.queue("passing", durable=False)
    channel = world.client().channel()
    for _ in range(33_000):
        world.publish(channel, b"x", key="jobs")
        world.publish(channel, b"x", key="passing")
    world.settle()
    assert passing.backlog.paged and problems(tmp_path) == []
    target.purge(lambda count: None)
    world.settle()
    assert problems(tmp_path) == []
    world.store.close()


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("update queue set messages = messages + 1 where name = 'jobs'", "queue 'jobs' in vhost '/': 20 messages by its count, 19 are there"),
        ("update queue set bytes = 1 where name = 'jobs'", "queue 'jobs' in vhost '/': 1 octets by its count, "),
        ("update queue set messages = 0 where name = char(10) || 'late'", "delayed exchange 'late' in vhost '/': 0 messages by"),
        ("update queue set messages = 0 where name = 'urgent' and priority = 3", "queue 'urgent' in vhost '/', priority 3: 0 mess"),
        ("update queue set definition = 'x' where name = 'jobs'", "queue 'jobs' in vhost '/': its definition cannot be read"),
        ("update queue set definition = '[]' where name = 'jobs'", "queue 'jobs' in vhost '/': its definition cannot be read"),
        ("update exchange set definition = '{}' where name = 'x'", "exchange 'x' in vhost '/': its definition has no type"),
        ("delete from exchange where name = 'x'", "there is no exchange 'x' in vhost '/'"),
        ("delete from queue where name = 'jobs'", "there is no queue 'jobs' in vhost '/'"),
        ("update binding set definition = '{}'", "its definition has no source"),
        ("update setting set value = '{' where key like '%guest%'", "settings: "),
        ("update message set data = zeroblob(length(data))", "queue 'jobs' in vhost '/': message 0 cannot be read"),
        ("update message set data = cast(data || x'00' as blob)", "its header announces"),
    ],
)  # fmt: skip
def test_a_broken_invariant_is_named(store: Path, statement: str, said: str) -> None:
    damage(store, statement)
    found = problems(store)
    assert any(said in problem for problem in found), found


def test_messages_without_a_queue_are_found_unless_they_are_being_deleted(store: Path) -> None:
    connection = sqlite3.connect(store / FILE_NAME)
    (number,) = connection.execute("select id from queue where name = 'jobs'").fetchone()
    connection.close()
    damage(store, f"delete from queue where id = {number}", "delete from binding")
    assert problems(store, thorough=False) == [f"queue number {number} is not there, but 19 of its messages are"]
    damage(store, f"insert into gone values ({number << POSITION_BITS}, {(number + 1 << POSITION_BITS) - 1})")
    assert problems(store) == []


def test_very_many_bad_messages_are_counted_not_listed(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.queue("jobs")
    channel = world.client().channel()
    for _ in range(audit.LISTED_MAX + 7):
        world.publish(channel, b"x", key="jobs")
    world.settle()
    world.store.close()
    damage(tmp_path, "update message set data = zeroblob(length(data))")
    found = problems(tmp_path)
    assert (
        len(found) == audit.LISTED_MAX + 1 and found[-1] == "queue 'jobs' in vhost '/': 7 more messages cannot be read"
    )


def test_a_damaged_file_is_a_problem_and_not_a_crash(store: Path) -> None:
    """The pages without which nothing can be read at all make it no store."""
    file = store / FILE_NAME
    whole = file.read_bytes()
    page = 16_384
    said = []
    for number in range(1, len(whole) // page):
        file.write_bytes(whole[: number * page] + b"\xff" * page + whole[(number + 1) * page :])
        try:
            said.append(problems(store)[0])
        except StoreError as error:
            said.append(f"refused: {error}")
    assert all(line.startswith(("file: ", "refused: ")) for line in said)
    assert sum(line.startswith("file: ") for line in said) > len(said) // 2


@pytest.mark.parametrize("content", [b"no database at all" * 100, None])
def test_what_is_no_store_is_refused(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / FILE_NAME
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(StoreError):
        Archive(file)
