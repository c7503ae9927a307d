"""Sends files to worker.js, which is in Node: python ask_node.py FILE… [ALGORITHM=sha256 in the environment]

The task's function here only says how it is called: arguments are checked against it before they are sent.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from leveret.tasks import WorkQueue

node = WorkQueue(os.environ.get("AMQP_URL"), default_queue="digests")


@node.task
def digest(path: Path, algorithm: str = "sha256") -> None:
    raise NotImplementedError("worker.js does this")


if __name__ == "__main__":
    for path in sys.argv[1:]:
        sent = digest.send(Path(path).resolve(), algorithm=os.environ.get("ALGORITHM", "sha256"))
        print("sent", sent.id)
