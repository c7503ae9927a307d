"""The sending end of a measurement: `python client.py APP` takes orders on stdin, one a line, and answers in JSON.

It is the same for every peer: an app has `send` and `result`, both plain or both coroutines, and may have `send_many`,
`start` and `stop`. Orders: `send FIRST COUNT SLEEP_MS`, `many FIRST COUNT`, `one NUMBER`, `results FIRST COUNT`.
"""

import asyncio
import inspect
import json
import sys
from importlib import import_module
from time import monotonic
from typing import Any

RESULT_S = 20.0


class Client:
    """Of an app whose functions are plain."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def send(self, first: int, count: int, sleep_ms: int) -> dict[str, Any]:
        send, began = self.app.send, monotonic()
        for number in range(first, first + count):
            send(number, sleep_ms)
        return {"took_s": monotonic() - began}

    def many(self, first: int, count: int) -> dict[str, Any]:
        if not hasattr(self.app, "send_many"):
            return {"missing": True}
        began = monotonic()
        self.app.send_many(range(first, first + count))
        return {"took_s": monotonic() - began}

    def one(self, number: int) -> dict[str, Any]:
        began = monotonic()
        self.app.send(number, 0)
        return {"began": began}

    def results(self, first: int, count: int) -> dict[str, Any]:
        if not hasattr(self.app, "result"):
            return {"missing": True}
        took_s = []
        for number in range(first, first + count):
            began = monotonic()
            value = self.app.result(self.app.send(number, 0), RESULT_S)
            took_s.append(monotonic() - began)
            if value != number:
                raise RuntimeError(f"task {number} has the result {value!r}")
        return {"took_s": took_s}


class AsyncClient(Client):
    """Of an app whose functions are coroutines; its loop runs only while there is an order."""

    def __init__(self, app: Any, runner: asyncio.Runner) -> None:
        super().__init__(app)
        self.run = runner.run
        if hasattr(app, "start"):
            self.run(app.start())

    def send(self, first: int, count: int, sleep_ms: int) -> dict[str, Any]:
        async def send_all() -> float:
            send, began = self.app.send, monotonic()
            for number in range(first, first + count):
                await send(number, sleep_ms)
            return monotonic() - began

        return {"took_s": self.run(send_all())}

    def one(self, number: int) -> dict[str, Any]:
        async def send_one() -> float:
            began = monotonic()
            await self.app.send(number, 0)
            return began

        return {"began": self.run(send_one())}

    def results(self, first: int, count: int) -> dict[str, Any]:
        if not hasattr(self.app, "result"):
            return {"missing": True}

        async def wait_for_all() -> list[float]:
            took_s = []
            for number in range(first, first + count):
                began = monotonic()
                value = await self.app.result(await self.app.send(number, 0), RESULT_S)
                took_s.append(monotonic() - began)
                if value != number:
                    raise RuntimeError(f"task {number} has the result {value!r}")
            return took_s

        return {"took_s": self.run(wait_for_all())}


def serve(client: Client) -> None:
    print("ready", flush=True)
    for line in sys.stdin:
        order, *numbers = line.split()
        answer = getattr(client, order)(*map(int, numbers))
        print("answer", json.dumps(answer), flush=True)


def main(name: str) -> None:
    app = import_module(name)
    if not inspect.iscoroutinefunction(app.send):
        return serve(Client(app))
    with asyncio.Runner() as runner:
        serve(AsyncClient(app, runner))
        if hasattr(app, "stop"):
            runner.run(app.stop())


if __name__ == "__main__":
    main(sys.argv[1])
