"""The table of the outbox, the same as that of contrib/sqlalchemy. Its rows are made and worked off by outbox."""

from __future__ import annotations

from django.db import models


class OutboxMessage(models.Model):
    """A message until the broker has confirmed it. `call` is the whole of it; id, task and queue are there to be looked at."""

    number = models.BigAutoField(primary_key=True)
    message_id = models.CharField(max_length=255, db_column="id")
    task = models.CharField(max_length=255)
    queue = models.CharField(max_length=255)
    call = models.BinaryField()
    due_ms = models.BigIntegerField(default=0)
    tries = models.IntegerField(default=0)
    held_until_ms = models.BigIntegerField(default=0)
    holder = models.CharField(max_length=36, default="", blank=True)

    class Meta:
        db_table = "leveret_outbox"

    def __str__(self) -> str:
        return f"{self.task} {self.message_id}"
