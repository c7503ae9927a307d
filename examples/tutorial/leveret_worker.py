"""The tutorial's worker with Leveret's own library: python leveret_worker.py, or leveret worker leveret_worker.py

It reads the queue of worker.py, so that new_task.py and leveret_new_task.py feed both. Acknowledging, redelivery and
parking what fails again and again are the library's part.
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


if __name__ == "__main__":
    work.run(threads=1)
