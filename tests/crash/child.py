"""One publisher or worker: `python -m crash.child DIRECTORY NAME ROLE CLIENT PORT SEED [QUEUE]`.

Runs until it is killed, or until its standard input ends: whoever started it is gone then.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from random import Random

from crash import with_leveret, with_pika
from crash.records import Sheet

CLIENTS = {"leveret": with_leveret, "pika": with_pika}


def end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


def main(directory: str, name: str, role: str, client: str, port: str, seed: str, queue: str = "") -> None:
    threading.Thread(target=end_with_parent, daemon=True).start()
    sheet, random = Sheet(Path(directory), name), Random(f"{seed}/{name}")
    if role == "publish":
        CLIENTS[client].publish(int(port), sheet, random)
    else:
        CLIENTS[client].work(int(port), queue, sheet, random)


if __name__ == "__main__":
    main(*sys.argv[1:])
