"""Leveret: a work queue for Python, with a durable AMQP 0-9-1 broker inside."""

__version__ = "0.1.0"
