"""A shop's tasks, for pictures: real workers at work, some of them failing. Run by pictures.py, never by tests."""

from __future__ import annotations

import itertools
import random
import sys
import time

from leveret.tasks import Retries, WorkQueue, current_task

work = WorkQueue()
GIVEN_UP = Retries(attempts=2, first_s=1)


@work.task(queue="mail", retry=GIVEN_UP)
def send_mail(to: str, subject: str) -> None:
    time.sleep(random.uniform(0.05, 0.5))
    if random.random() < 0.05:
        raise ConnectionError("mail.example.com did not answer")


@work.task(queue="pictures")
def resize(path: str, width: int) -> None:
    for step in range(10):
        current_task().progress(step, 10)
        time.sleep(random.uniform(0.05, 0.2))


@work.task(queue="invoices", retry=GIVEN_UP)
def write_invoice(order: int) -> None:
    time.sleep(random.uniform(0.2, 0.9))
    if order % 37 == 0:
        raise ValueError(f"order {order} has no address")


@work.schedule("0 3 * * *", tz="Europe/Berlin")
@work.task(queue="reports")
def nightly_report() -> None:
    time.sleep(1)


def send_for_ever() -> None:
    """More pictures than two workers get done."""
    for order in itertools.count(1):
        send_mail.send(f"customer{order}@example.com", "Your order")
        if order % 3 == 0:
            send_mail.send(f"customer{order}@example.com", "It is on its way")
        for width in (320, 640, 1280):
            resize.send(f"photos/{order}.jpg", width)
        write_invoice.send(order)
        time.sleep(random.uniform(0.1, 0.5))


if __name__ == "__main__" and sys.argv[1:] == ["send"]:
    send_for_ever()
