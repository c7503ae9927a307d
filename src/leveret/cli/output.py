"""How commands fail: one line on standard error, and exit code 2 (wrong use) or 1; and what is safe to print."""

from __future__ import annotations

from typing import NoReturn

import typer


def fail(text: str, code: int = 2) -> NoReturn:
    typer.echo(f"leveret: {printable(text, lines=True)}", err=True)
    raise typer.Exit(code)


def printable(text: str, lines: bool = False) -> str:
    """Names and errors are others': what would steer a terminal is shown as it is written in Python, but for new `lines`."""
    return "".join(
        sign if sign.isprintable() or (lines and sign == "\n") else sign.encode("unicode_escape").decode()
        for sign in text
    )
