"""Makes the table of the outbox."""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies: ClassVar[list[tuple[str, str]]] = []
    operations: ClassVar = [
        migrations.CreateModel(
            name="OutboxMessage",
            fields=[
                ("number", models.BigAutoField(primary_key=True, serialize=False)),
                ("message_id", models.CharField(db_column="id", max_length=255)),
                ("task", models.CharField(max_length=255)),
                ("queue", models.CharField(max_length=255)),
                ("call", models.BinaryField()),
                ("due_ms", models.BigIntegerField(default=0)),
                ("tries", models.IntegerField(default=0)),
                ("held_until_ms", models.BigIntegerField(default=0)),
                ("holder", models.CharField(blank=True, default="", max_length=36)),
            ],
            options={"db_table": "leveret_outbox"},
        ),
    ]
