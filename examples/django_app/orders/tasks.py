"""The tasks of orders. Views import this module to send them, the worker to run them (worker.py)."""

from __future__ import annotations

from leveret.contrib.django_db import DatabaseConnections
from leveret.tasks import Retries, WorkQueue
from orders.models import Order

work = WorkQueue(default_queue="orders", middleware=[DatabaseConnections()])


@work.task(retry=Retries(never=(Order.DoesNotExist,)))
def write_invoice(order: int) -> None:
    """Takes the row's key, not the row: it is read as it is when the task runs. A repetition writes the same again."""
    row = Order.objects.get(pk=order)
    lines = [f"{pieces} x {product}" for product, pieces in sorted(row.items.items())]
    row.invoice = "\n".join([f"Invoice {row.pk} for {row.customer}", *lines])
    row.save(update_fields=["invoice"])
