"""The tasks of bench/history: they do nothing, and each process marks now and then how far it is. `python -m` it to fill the queue."""

import os
import sys
import time
from itertools import count
from pathlib import Path

from leveret.tasks import WorkQueue

EVERY = 250

work = WorkQueue(default_queue="bench-history")
_begun = count(1)


@work.task
def nothing(number: int) -> None:
    begun = next(_begun)
    if begun % EVERY == 0:
        with (Path(os.environ["BENCH_MARKS"]) / str(os.getpid())).open("a") as file:
            file.write(f"{begun} {time.monotonic()} {time.process_time()}\n")


if __name__ == "__main__":
    work.send_many([nothing.call(number) for number in range(int(sys.argv[1]))])
    work.close()
