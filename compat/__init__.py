"""The clients' own test suites, run on Leveret's broker and beside it on a real RabbitMQ. `make compat SRC=…`.

The suites are never part of this project: SRC is a folder of checkouts or unpacked source distributions. Here is only
how each of them is run. The outcome is docs/compatibility.md. Not part of the installed package.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class CannotRun(Exception):
    """Something a suite needs is missing; the message says what to fetch or to install. Ends it with exit code 2."""
