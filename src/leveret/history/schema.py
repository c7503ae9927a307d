"""The tables of a history. Times are seconds since 1970, names as they are at the broker.

Used by history/file.
"""

from __future__ import annotations

from typing import Final

VERSION: Final = 2

STEPS: Final = {5: 3600, 60: 2 * 24 * 3600, 900: 0}
"""Figures are kept at so many seconds, for so long; the coarsest for as long as all else."""

FAILURE_S: Final = 300
"""Failures are counted for stretches so long."""

PRAGMAS: Final = (
    "pragma auto_vacuum = incremental",
    "pragma journal_mode = wal",
    "pragma synchronous = normal",
    "pragma journal_size_limit = 4194304",
    "pragma cache_size = -4000",
    "pragma temp_store = memory",
)

SCHEMA: Final = f"""
begin;
create table if not exists task (
    vhost text not null, id text not null, queue text not null, task text not null, state text not null,
    attempts integer not null, worker text not null, sent real, started real, ended real, changed real not null,
    took_s real, exception text not null, error text not null, reason text not null, argument text not null,
    life text not null, -- a line of JSON for each entry: at, what, detail
    traces text not null, -- likewise, for each attempt that failed and whose traceback is known: at, traceback
    precious integer not null generated always as (state != 'succeeded') stored,
    unique (vhost, id)
);
create index if not exists task_changed on task (changed);
create index if not exists task_age on task (precious, changed);
create index if not exists task_id on task (id);
create table if not exists subject (
    id integer primary key, kind text not null, vhost text not null, name text not null, unique (kind, vhost, name)
);
create table if not exists figure (
    step integer not null, subject integer not null, at integer not null,
    ready integer, unacked integer, consumers integer, -- as it was last; null: nobody looked
    came integer not null, went integer not null, succeeded integer not null, failed integer not null, took_s real not null,
    primary key (step, subject, at)
) without rowid;
create table if not exists failure (
    at integer not null, vhost text not null, queue text not null, task text not null, exception text not null,
    error text not null, number integer not null, first real not null, last real not null,
    primary key (at, vhost, queue, task, exception)
) without rowid;
pragma user_version = {VERSION};
commit;
"""
