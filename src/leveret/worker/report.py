"""One line of log for each message that was run: the same words in the same order, to be searched. Used by worker."""

from __future__ import annotations

import logging

from leveret.tasks import Cancelled, Done, Failed, Message, Outcome

log = logging.getLogger("leveret.worker")

FORMAT = "%(asctime)s %(levelname)s %(name)s [%(process)d] %(message)s"


def set_up() -> None:
    """For processes of our own; a program that has set up its logging keeps that."""
    logging.basicConfig(level=logging.INFO, format=FORMAT)


def outcome(message: Message, outcome: Outcome) -> None:
    name = message.task or "-"
    who = (name, message.id or "-", message.queue, message.attempt, outcome.took_s)
    if isinstance(outcome, Done):
        log.info("done task=%s id=%s queue=%s attempt=%d took_s=%.3f", *who)
        return
    if isinstance(outcome, Cancelled):
        log.info("cancelled task=%s id=%s queue=%s attempt=%d took_s=%.3f", *who)
        return
    failure = outcome.failure
    why = f"{failure.exception}: {failure.text}".replace("\n", " ")
    if isinstance(outcome, Failed):
        log.warning("failed task=%s id=%s queue=%s attempt=%d took_s=%.3f error=%s", *who, why)
    else:
        log.error("parked task=%s id=%s queue=%s attempt=%d took_s=%.3f reason=%s error=%s", *who, outcome.reason, why)
