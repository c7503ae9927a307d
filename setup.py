"""Builds Leveret: compiled with mypyc where that is possible, plain Python otherwise.

COMPILED is the one list of compiled modules. Every one is ordinary Python as well: `LEVERET_PURE=1`
builds without compiling, and so does a machine without a C compiler; both say so.
"""

import os
import shutil
import sys
import sysconfig

from setuptools import setup

COMPILED = [
    "src/leveret/wire/values.py",
    "src/leveret/wire/properties.py",
    "src/leveret/wire/pieces.py",
    "src/leveret/wire/frames.py",
    "src/leveret/wire/events.py",
    "src/leveret/wire/addresses.py",
    "src/leveret/wire/channel.py",
    "src/leveret/wire/scan.py",
    "src/leveret/wire/sender.py",
    "src/leveret/wire/connection.py",
    "src/leveret/store/batch.py",
    "src/leveret/store/patience.py",
    "src/leveret/store/store.py",
    "src/leveret/broker/timers.py",
    "src/leveret/broker/message.py",
    "src/leveret/broker/confirms.py",
    "src/leveret/broker/consumer.py",
    "src/leveret/broker/peer.py",
    "src/leveret/broker/alarms.py",
    "src/leveret/broker/counts.py",
    "src/leveret/broker/channel.py",
    "src/leveret/broker/deliveries.py",
    "src/leveret/broker/backlog.py",
    "src/leveret/broker/ids.py",
    "src/leveret/broker/settings.py",
    "src/leveret/broker/commons.py",
    "src/leveret/broker/ear.py",
    "src/leveret/broker/notices.py",
    "src/leveret/broker/leaving.py",
    "src/leveret/broker/level.py",
    "src/leveret/broker/priorities.py",
    "src/leveret/broker/topic.py",
    "src/leveret/broker/headers.py",
    "src/leveret/broker/exchange.py",
    "src/leveret/broker/flow.py",
    "src/leveret/broker/limit.py",
    "src/leveret/broker/disuse.py",
    "src/leveret/broker/settlement.py",
    "src/leveret/broker/transaction.py",
    "src/leveret/broker/dead_letters.py",
    "src/leveret/broker/expiry.py",
    "src/leveret/broker/queue.py",
    "src/leveret/broker/tenant.py",
    "src/leveret/broker/vhost.py",
    "src/leveret/broker/replies.py",
    "src/leveret/broker/router.py",
    "src/leveret/broker/consistent_hash.py",
    "src/leveret/broker/delay_line.py",
    "src/leveret/broker/delayed_exchange.py",
    "src/leveret/broker/broker.py",
    "src/leveret/server/session.py",
    "src/leveret/server/turns.py",
    "src/leveret/server/protocol.py",
    "src/leveret/client/confirms.py",
    "src/leveret/client/publishing.py",
    "src/leveret/worker/tally.py",
    "src/leveret/worker/report.py",
    "src/leveret/worker/held.py",
    "src/leveret/worker/telling.py",
    "src/leveret/worker/ending.py",
    "src/leveret/worker/slots.py",
    "src/leveret/worker/pace.py",
    "src/leveret/worker/hands.py",
    "src/leveret/worker/runner.py",
    "src/leveret/worker/executor.py",
]


def compiler_missing() -> str:
    """Why no C code can be built here; empty if it can."""
    if os.environ.get("LEVERET_PURE"):
        return "LEVERET_PURE is set"
    command = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(command) is None:
        return f"no C compiler ({command}) was found"
    header = os.path.join(sysconfig.get_paths()["include"], "Python.h")
    return "" if os.path.exists(header) else f"the Python headers ({header}) are missing"


def extensions() -> list[object]:
    reason = compiler_missing()
    if reason:
        print(f"leveret: building pure Python, because {reason}", file=sys.stderr)
        return []
    from mypyc.build import mypycify

    return mypycify(
        ["--config-file=pyproject.toml", *[path for path in COMPILED if os.path.exists(path)]], opt_level="3"
    )


setup(ext_modules=extensions())
