"""A database of an earlier version is brought up to date when it is opened."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from leveret.store.schema import APPLICATION_ID, VERSION
from leveret.store.store import FILE_NAME, Store
from store.support import Bench, Message

VERSION_1 = """
create table queue (
  id integer primary key, vhost text not null, name text not null, definition text not null,
  messages integer not null default 0, bytes integer not null default 0,
  delivered integer not null default -1,
  unique (vhost, name)
);
create table exchange (vhost text not null, name text not null, definition text not null, primary key (vhost, name));
create table binding (key text primary key, vhost text not null, definition text not null);
create table setting (key text primary key, value text not null);
create table message (
  id integer primary key, deliveries integer not null, expires integer not null, transient integer not null,
  data blob not null
);
create index message_transient on message (id) where transient = 1;
create table gone (first integer primary key, last integer not null);
insert into queue values (7, '/', 'q', '{}', 3, 30, 1);
"""


def test_queues_of_version_1_get_priority_0(tmp_path: Path) -> None:
    old = sqlite3.connect(tmp_path / FILE_NAME)
    old.executescript(f"{VERSION_1} pragma application_id = {APPLICATION_ID}; pragma user_version = 1;")
    old.close()
    store = Store(tmp_path, lambda call: call(), lambda error: None)
    (queue,) = store.recover().queues
    store.close()
    assert (queue.id, queue.name, queue.priority, queue.messages, queue.delivered) == (7, "q", 0, 3, 1)
    assert sqlite3.connect(tmp_path / FILE_NAME).execute("pragma user_version").fetchone() == (VERSION,)


def test_who_reads_the_file_meanwhile_holds_up_neither_stop_nor_start(tmp_path: Path) -> None:
    """A check or a backup goes on for as long as it takes; SQLite would wait five seconds for it, twice."""
    bench = Bench(tmp_path)
    bench.store.save_queue(1, "/", "q", "{}")
    bench.add(Message(1, 0))
    bench.settle()
    reader = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    reader.execute("begin")
    assert reader.execute("select count(*) from message").fetchone() == (1,)
    bench.add(Message(1, 1))
    bench.settle()
    began = time.monotonic()
    bench.store.close()
    again = Bench(tmp_path)
    assert time.monotonic() - began < 4
    assert again.positions(1) == [0, 1]
    assert reader.execute("select count(*) from message").fetchone() == (1,)
    reader.close()
    again.store.close()
    assert sqlite3.connect(tmp_path / FILE_NAME).execute("select count(*) from message").fetchone() == (2,)
