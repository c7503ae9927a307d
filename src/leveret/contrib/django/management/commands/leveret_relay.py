"""`manage.py leveret_relay`: sends what was committed, until SIGTERM or SIGINT."""

from __future__ import annotations

import signal
import threading
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from leveret.contrib.django.outbox import Relay, bell
from leveret.contrib.relay import EVERY_S
from leveret.errors import TaskError
from leveret.tasks import WorkQueue
from leveret.worker.loading import load


class Command(BaseCommand):
    help = "Sends the messages of the outbox to the broker, until it is told to stop."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--app", help="the WorkQueue, as package.module:name; default: the setting LEVERET_APP")
        parser.add_argument("--database", help="the database whose outbox is sent; default: the default one")
        parser.add_argument("--every", type=float, default=EVERY_S, help="how often it looks, in seconds (%(default)s)")
        parser.add_argument("--once", action="store_true", help="send what is there and end")

    def handle(self, *args: Any, **options: Any) -> None:
        relay = Relay(_work_queue(options["app"]), options["database"])
        if options["once"]:
            while relay.once():
                pass
            return
        stop = threading.Event()

        def end(*_: object) -> None:
            stop.set()
            bell.ring()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, end)
        relay.run(stop, every_s=options["every"])


def _work_queue(app: str | None) -> WorkQueue:
    app = app or getattr(settings, "LEVERET_APP", None)
    if not app:
        raise CommandError("which WorkQueue? Say LEVERET_APP = 'package.module:name' in the settings, or --app")
    try:
        return load(app)
    except TaskError as error:
        raise CommandError(str(error)) from None
