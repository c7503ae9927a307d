"""Where the `leveret` command starts: `leveret worker` goes straight to worker, and does not wait for what the others load."""

from __future__ import annotations

import gc
import sys


def main() -> None:
    if sys.argv[1:2] == ["worker"]:
        if not sys.flags.safe_path:
            del sys.path[0]  # a file there may be named as a module of the standard library; loading has it back
        gc.disable()  # until all is loaded: what is loaded stays, and to look through it takes a tenth of the start
        from leveret.cli.worker import main as work

        sys.exit(work(sys.argv[2:]))
    from leveret.cli.main import main as command

    command()
