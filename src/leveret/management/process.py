"""The figures of the broker's process and its store, by RabbitMQ's names for those of a node. Used by management/node and sampling.

What an Erlang node has and this process has not (seeks, Mnesia, a queue index) is 0.
"""

from __future__ import annotations

import gc
import os
import resource
import threading
from typing import Final

from leveret.broker.broker import Broker
from leveret.management.figures import Figures

NAMES: Final = (
    *("mem_used", "fd_used", "sockets_used", "proc_used", "disk_free"),
    *("gc_num", "gc_bytes_reclaimed", "context_switches"),
    *("io_read_count", "io_read_bytes", "io_write_count", "io_write_bytes", "io_sync_count"),
    *("io_seek_count", "io_reopen_count", "mnesia_ram_tx_count", "mnesia_disk_tx_count"),
    *("msg_store_read_count", "msg_store_write_count", "queue_index_write_count", "queue_index_read_count"),
)
TIMES: Final = ("io_read_avg_time", "io_write_avg_time", "io_sync_avg_time", "io_seek_avg_time")
"""In ms, on an average."""


def figures(broker: Broker) -> Figures:
    """As NAMES names them."""
    alarms, store = broker.alarms, broker.store
    return (
        *(alarms.memory_used, open_files(), len(broker.peers), threading.active_count(), alarms.disk_free),
        *(sum(one["collections"] for one in gc.get_stats()), 0, context_switches()),
        *(store.loaded, store.loaded_bytes, store.commits, store.written_bytes, store.commits),
        *(0, 0, 0, 0, store.loaded_rows, store.written_rows, 0, 0),
    )


def times(broker: Broker) -> tuple[float, ...]:
    """As TIMES names them; to write is to sync here."""
    store = broker.store
    commit_ms = store.commit_s * 1000 / store.commits if store.commits else 0.0
    return 0.0, commit_ms, commit_ms, 0.0


def open_files() -> int:
    """0 where the system does not tell."""
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return 0


def context_switches() -> int:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_nvcsw + usage.ru_nivcsw
