"""The background loop's thread, and what Ctrl-C or a cancelled future may do to it. No broker."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from client.support import WAIT_S
from leveret.client.threads import LoopThread, loop_thread


class InterruptedOnce:
    """A loop that is interrupted when it is woken for the first time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._interrupts = 1

    def call_soon_threadsafe(self, call: Callable[..., object], *values: Any) -> object:
        if self._interrupts:
            self._interrupts -= 1
            raise KeyboardInterrupt
        return self._loop.call_soon_threadsafe(call, *values)


@pytest.fixture
def thread() -> LoopThread:
    return loop_thread()


def test_an_interrupted_post_is_run_all_the_same_and_those_behind_it(
    thread: LoopThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thread, "_loop", InterruptedOnce(thread._loop))
    first, second = threading.Event(), threading.Event()
    with pytest.raises(KeyboardInterrupt):
        thread.post(first.set)
    assert first.wait(WAIT_S)
    thread.post(second.set)
    assert second.wait(WAIT_S)


def test_a_future_cancelled_in_time_keeps_its_work_from_being_begun(thread: LoopThread) -> None:
    held, begun, behind = threading.Event(), threading.Event(), threading.Event()
    thread.post(held.wait, WAIT_S)
    future = thread.link(begun.set)
    assert future.cancel()
    held.set()
    thread.post(behind.set)
    assert behind.wait(WAIT_S) and not begun.is_set()


def test_a_future_cancelled_too_late_ends_as_its_work_does(thread: LoopThread) -> None:
    waiting: list[asyncio.Future[None]] = []

    def begin() -> asyncio.Future[None]:
        waiting.append(asyncio.get_running_loop().create_future())
        return waiting[0]

    future = thread.link(begin)
    begun = threading.Event()
    thread.post(begun.set)
    assert begun.wait(WAIT_S) and not future.cancel()
    thread.post(waiting[0].set_result, None)
    assert future.result(WAIT_S) is None
