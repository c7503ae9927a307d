"""The demo: a broker and workers as real processes, a task for each file, a worker killed half way, all of it counted.

Everything it starts ends with it, and its data with its temporary directory. Called by the command line.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
import sysconfig
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.console import Console

from leveret.client import Connection, Delivery, connect
from leveret.client.looping import new_loop
from leveret.demo.chart import chart
from leveret.demo.job import QUEUE, RESULTS, Report, compress, work
from leveret.demo.tally import Tally, Worker
from leveret.demo.view import View, view
from leveret.errors import LeveretError
from leveret.management import remote

ENDED_BY: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
START_S: Final = 30.0
STOP_S: Final = 20.0
SILENCE_S: Final = 60.0
"""Without any report for so long, what is missing counts as lost. LZMA takes a gigabyte in less than ten minutes, but
no file of the demo is that large."""

SILENCE_S_PER_BYTE: Final = 2e-6
REFRESH_S: Final = 0.1
SEND_AT_ONCE: Final = 256
LOG_TAIL_CHARACTERS: Final = 2_000
Process = asyncio.subprocess.Process


class DemoError(LeveretError):
    """The demo cannot go on; the text says why."""


def run(directory: Path | None, workers: int) -> int:
    """0 if all tasks were done, 1 if any was lost. DemoError if it cannot run; KeyboardInterrupt passes through."""
    files = sources(directory or Path(sysconfig.get_path("stdlib")), directory is None)
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="leveret-demo-") as home, asyncio.Runner(loop_factory=new_loop) as runner:
        tally = runner.run(_unless_ended(Demo(Path(home), files, workers, view(console)).run()))
    return conclude(tally, console)


async def _unless_ended(work: Coroutine[Any, Any, Tally]) -> Tally:
    """SIGTERM, SIGHUP (its terminal is closed) and Ctrl-C end the demo, and what it started with it; also if it was started in the
    background, where SIGINT would else be ignored."""
    loop, demo = asyncio.get_running_loop(), asyncio.ensure_future(work)
    for number in ENDED_BY:
        loop.add_signal_handler(number, demo.cancel)
    try:
        return await demo
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def sources(directory: Path, standard_library: bool) -> list[Path]:
    """The files of the directory; of the standard library its modules, without what was installed beside them."""
    if not directory.is_dir():
        raise DemoError(f"{directory} is no directory")
    pattern = "*.py" if standard_library else "*"
    files = [path for path in sorted(directory.rglob(pattern)) if path.is_file() and not path.is_symlink()]
    if standard_library:
        files = [path for path in files if not {"site-packages", "dist-packages"} & set(path.parts)]
    if not files:
        raise DemoError(f"there are no files in {directory}")
    return files


def conclude(tally: Tally, console: Console) -> int:
    """Print what came of it; the exit code."""
    for line in chart(tally):
        console.print(line, markup=False, soft_wrap=True)
    for report in tally.unreadable:
        console.print(f"not read: {report.error}", markup=False, soft_wrap=True)
    for path in tally.missing:
        console.print(f"lost: {path}", style="red", markup=False, soft_wrap=True)
    before, after = tally.size_bytes, tally.compressed_bytes
    if after:
        console.print(f"{before / 1e6:.1f} MB compressed to {after / 1e6:.1f} MB, {before / after:.2f} to 1")
    total, lost = len(tally.paths), len(tally.missing)
    console.print(f"{tally.done} of {total} tasks done, {lost} lost, {tally.redelivered} redelivered")
    return 1 if lost else 0


class Demo:
    """One run in `home`, its temporary directory."""

    def __init__(self, home: Path, files: list[Path], workers: int, view: View) -> None:
        self._home = home
        self._files = files
        self._workers = workers
        self._view = view
        self._tally = Tally([str(path) for path in files])
        self._large = sorted(path.stat().st_size for path in files)[len(files) // 2]
        self._victim: Worker | None = None
        self._victim_path = ""
        self._changed = asyncio.Event()

    async def run(self) -> Tally:
        begun = time.monotonic()
        try:
            async with contextlib.AsyncExitStack() as stack:
                amqp, http = await stack.enter_async_context(self._broker())
                self._view.say(f"broker ready at {amqp}, {len(self._files)} files to compress, {self._workers} workers")
                work.url = amqp
                stack.callback(work.close)
                connection = await connect(amqp, name="demo")
                stack.push_async_callback(connection.close)
                await self._listen(connection)
                await stack.enter_async_context(self._supervisor(amqp))
                await self._watch(http)
        finally:
            self._view.close()
        self._view.say(f"took {time.monotonic() - begun:.1f} s")
        return self._tally

    # ---- the processes

    @contextlib.asynccontextmanager
    async def _broker(self) -> AsyncIterator[tuple[str, str]]:
        """Its addresses: of AMQP and of the management API."""
        command = ["broker", "--port", "0", "--management-port", "0", "--data", str(self._home / "data")]
        async with self._process("broker", *command, "--log-level", "warning") as process:
            assert process.stdout is not None
            line = await asyncio.wait_for(process.stdout.readline(), START_S)
            found = re.match(r"ready (amqp://\S+) (http://[^\s:]+:\d+)", line.decode())
            if found is None:
                raise DemoError(f"the broker did not start:\n{self._log('broker')}")
            yield found[1], found[2]

    @contextlib.asynccontextmanager
    async def _supervisor(self, url: str) -> AsyncIterator[Process]:
        command = ["worker", "leveret.demo.job", "--processes", str(self._workers), "--threads", "1"]
        async with self._process("worker", *command, "--url", url, "--shutdown-timeout", "5") as process:
            self._workers_process = process
            yield process

    @contextlib.asynccontextmanager
    async def _process(self, name: str, *command: str) -> AsyncIterator[Process]:
        """`leveret COMMAND`, ended by SIGTERM when the block is left, and by SIGKILL if that does not help."""
        with (self._home / f"{name}.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                "leveret",
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # a terminal's Ctrl-C comes to the demo, which ends them in order
            )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), STOP_S)
            except TimeoutError:
                process.kill()
                await process.wait()

    def _log(self, name: str) -> str:
        return (self._home / f"{name}.log").read_text(errors="replace")[-LOG_TAIL_CHARACTERS:].strip()

    # ---- what the workers say

    async def _listen(self, connection: Connection) -> None:
        channel = await connection.channel(prefetch=SEND_AT_ONCE)
        await channel.queue_declare(RESULTS, durable=True)
        await channel.consume(RESULTS, self._take)

    def _take(self, delivery: Delivery) -> None:
        report = msgspec.json.decode(delivery.body, type=Report)
        known = report.pid in self._tally.workers
        worker = self._tally.take(report)
        self._changed.set()
        if self._victim is not None and not known:
            self._view.say(f"worker {worker.number} (pid {worker.pid}) took the place of worker {self._victim.number}")
        if self._victim is not None and report.event == "started" and report.path == self._victim_path:
            self._view.say(f"{Path(report.path).name} was delivered again, to worker {worker.number}")
        if self._victim is None and self._is_time(report):
            self._kill(worker, report)
        delivery.ack()

    def _is_time(self, report: Report) -> bool:
        """Half way, when a worker has just begun on something that takes it a moment; towards the end, on anything."""
        done, total = self._tally.done, len(self._tally.paths)
        if report.event != "started" or done * 2 < total:
            return False
        return done * 4 > total * 3 or Path(report.path).stat().st_size >= self._large

    def _kill(self, worker: Worker, report: Report) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker.pid, signal.SIGKILL)
        worker.killed_s = time.time()
        self._victim, self._victim_path = worker, report.path
        self._view.say(f"worker {worker.number} (pid {worker.pid}) killed with SIGKILL, working on {report.path}")

    # ---- sending, and watching until all is done

    async def _watch(self, http: str) -> None:
        sending = asyncio.create_task(self._send())
        try:
            await self._until_done(http)
            await sending
        finally:
            sending.cancel()

    async def _send(self) -> None:
        for start in range(0, len(self._files), SEND_AT_ONCE):
            await asyncio.gather(*map(compress.send_async, self._files[start : start + SEND_AT_ONCE]))

    async def _until_done(self, http: str) -> None:
        """Until every task is reported done, or nothing more is to be expected."""
        loop = asyncio.get_running_loop()
        silence_s = SILENCE_S + SILENCE_S_PER_BYTE * max(path.stat().st_size for path in self._files)
        heard = loop.time()
        while self._tally.missing and loop.time() - heard < silence_s:
            if self._workers_process.returncode is not None:
                raise DemoError(f"the workers ended:\n{self._log('worker')}")
            if self._changed.is_set():
                heard = loop.time()
                self._changed.clear()
            self._view.show(self._tally, *await self._depth(http))
            await asyncio.sleep(REFRESH_S)
        self._view.show(self._tally, *await self._depth(http))

    async def _depth(self, http: str) -> tuple[int, int]:
        """Messages ready and unacknowledged, as the broker says."""
        queue: Any = await asyncio.to_thread(remote.fetch, http, f"/api/queues/%2F/{QUEUE}", missing={})
        return queue.get("messages_ready", 0), queue.get("messages_unacknowledged", 0)
