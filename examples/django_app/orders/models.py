"""What is ordered, and the invoice once a worker has written it."""

from __future__ import annotations

from django.db import models


class Order(models.Model):
    customer = models.CharField(max_length=100)
    items = models.JSONField()
    """{"hare": 2, …}: pieces by product"""

    invoice = models.TextField(blank=True)
    """Empty until it is written."""
