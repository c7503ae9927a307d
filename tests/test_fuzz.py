"""A short run of the fuzzer, so that it keeps working; `make fuzz` is the long one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SEED = 4


def test_some_thousand_frames_break_nothing() -> None:
    command = [sys.executable, "-m", "fuzz", "--frames", "15000", "--seconds", "20", "--seed", str(SEED)]
    ran = subprocess.run(
        command, cwd=Path(__file__).parent.parent, capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.startswith(f"seed {SEED}\n")
    assert "nothing left of any" in ran.stdout
