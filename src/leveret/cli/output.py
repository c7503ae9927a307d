"""How commands fail: one line on standard error that says what is wrong, and exit code 2 (wrong use) or 1."""

from __future__ import annotations

from typing import NoReturn

import typer


def fail(text: str, code: int = 2) -> NoReturn:
    typer.echo(f"leveret: {text}", err=True)
    raise typer.Exit(code)
