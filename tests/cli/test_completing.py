"""The shell's completion: commands, and names of queues that the broker has, none of which the shell could misread."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from brokers import Broker


def completed(line: str, shell: str = "bash", management: str = "http://127.0.0.1:9") -> list[str]:
    """What is offered for the last word of the line."""
    words = line.split(" ")
    environment = {
        **os.environ,
        "_LEVERET_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
        "_TYPER_COMPLETE_ARGS": line,
        "LEVERET_MANAGEMENT": management,
    }
    command = [sys.executable, "-m", "leveret"]
    text = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False).stdout
    return text.split()


def test_commands_are_completed() -> None:
    assert "list-queues" in completed("leveret list-")
    assert completed("leveret why --form") == ["--formatter"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_for_each_shell_is_shown(shell: str) -> None:
    environment = {**os.environ, "_LEVERET_COMPLETE": f"source_{shell}"}
    command = [sys.executable, "-m", "leveret"]
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False).stdout
    assert "_LEVERET_COMPLETE=complete_" in shown


def test_queues_are_completed_but_for_those_whose_names_a_shell_could_misread(managed_broker: Broker) -> None:
    with managed_broker.connect() as connection:
        channel = connection.channel()
        for queue in ("mail.fast", "mail-slow", "mail`id`", "mail $(id)", "other"):
            channel.queue_declare(queue)
    for line in ("leveret purge-queue mail", "leveret dead list mail", "leveret trace --queue mail"):
        offered: list[str] = []
        for _ in range(10):  # on a busy machine the answer may take longer than the shell waits
            offered = offered or completed(line, management=managed_broker.management_url)
        assert offered == ["mail-slow", "mail.fast"]


def test_without_a_broker_nothing_is_offered_and_nothing_is_said() -> None:
    assert completed("leveret purge-queue ma") == []
