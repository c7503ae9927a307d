"""The tutorial's worker with Leveret's own library: leveret worker examples/tutorial/tasks.py

It reads the same queue as worker.py, so new_task.py feeds both. Acknowledging, redelivery and parking what fails are the
library's part.
"""

import os
import time

from leveret.tasks import WorkQueue

work = WorkQueue(os.environ.get("AMQP_URL"))


@work.consumer("task_queue")
def slow(body: bytes) -> None:
    print(f" [x] Received {body.decode()}", flush=True)
    time.sleep(body.count(b"."))
    print(" [x] Done", flush=True)


@work.task
def dots(text: str) -> int:
    print(f" [x] Called with {text}", flush=True)
    time.sleep(text.count("."))
    return text.count(".")


if __name__ == "__main__":
    work.run(threads=1)
