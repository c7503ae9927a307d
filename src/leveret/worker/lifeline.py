"""What a supervisor tells its children down their lifelines, and the signals by which it, or a worker on its own, is stopped."""

from __future__ import annotations

import signal
from typing import Final

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
STOP: Final = b"stop\n"
QUIT: Final = b"quit\n"
QUIET: Final = b"quiet\n"
