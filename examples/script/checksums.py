"""Checksums of all files of a folder, each computed by a worker and written beside its file.

    python checksums.py FOLDER            and            leveret worker checksums.py

No server to start, no URL to know: both use the broker of this folder, started by whoever is first (in .leveret/).
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

from leveret.tasks import Retries, WorkQueue

work = WorkQueue()


@work.task(retry=Retries(attempts=5, never=(FileNotFoundError,)))
def checksum(path: Path) -> None:
    """A repetition after a crash writes the same again. A file that is gone is no reason to try again: it is parked."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    unfinished.write_text(f"{digest}  {path.name}\n")
    unfinished.replace(path.with_name(f"{path.name}.sha256"))


def main(folder: Path) -> None:
    paths = [path.resolve() for path in folder.iterdir() if path.is_file() and path.suffix != ".sha256"]
    sent = work.send_many([checksum.call(path) for path in paths])
    print(f"{len(sent)} files are on the way")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
