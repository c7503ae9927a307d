"""What `make compat` itself does: reading results, judging them, leading suites to the broker. No suite is run here."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from compat import ROOT, CannotRun, docker, junit
from compat.junit import Result
from compat.report import BEGIN, END, Document
from compat.results import Comparison, compare, counts, save
from compat.runner import Run
from compat.suites import SUITES

REPORT = """<testsuites><testsuite>
  <testcase classname="t.a" name="passes"/>
  <testcase classname="t.a" name="fails"><failure message="assert 1 == 2&#10;more">trace</failure></testcase>
  <testcase classname="t.a" name="breaks"><error message="failed on setup">trace</error></testcase>
  <testcase classname="t.a" name="left out"><skipped message="no kqueue"/></testcase>
  <testcase classname="t.a" name="with subtests"><failure message="one of them"/></testcase>
  <testcase classname="t.a" name="with subtests"/>
</testsuite></testsuites>"""
PASSED, FAILED, SKIPPED = Result("passed"), Result("failed", "why"), Result("skipped")
DOCUMENT = f"""# Head

{BEGIN}
old
{END}

- `pika`, `t.Class::test[a-*]`: a detail of Erlang.
- `kombu`, `t::test`:
"""


def test_a_report_is_read_with_the_worst_outcome_of_each_test(tmp_path: Path) -> None:
    (tmp_path / "junit.xml").write_text(REPORT)
    assert junit.read(tmp_path / "junit.xml") == {
        "t.a::passes": PASSED,
        "t.a::fails": Result("failed", "assert 1 == 2"),
        "t.a::breaks": Result("failed", "failed on setup"),
        "t.a::left out": Result("skipped", "no kqueue"),
        "t.a::with subtests": Result("failed", "one of them"),
    }


def test_only_what_passes_on_rabbitmq_can_be_missing_here(tmp_path: Path) -> None:
    theirs = {"fails": PASSED, "skipped": PASSED, "not run": PASSED, "both": FAILED, "same": PASSED, "better": FAILED}
    ours = {"fails": FAILED, "skipped": SKIPPED, "both": FAILED, "same": PASSED, "better": PASSED}
    save(tmp_path, "pika", "rabbitmq", "1.4", Run("RabbitMQ 3.10.8", theirs))
    assert compare(tmp_path, "pika") is None
    save(tmp_path, "pika", "leveret", "1.4", Run("Leveret 0.1", ours))
    found = compare(tmp_path, "pika")
    assert found == Comparison("pika", "1.4", Run("RabbitMQ 3.10.8", theirs), Run("Leveret 0.1", ours))
    assert found.only_rabbitmq == {"fails": "why", "skipped": "", "not run": "not run"}
    assert found.only_leveret == ["better"]
    assert str(counts(ours)) == "2 passed, 2 failed, 1 skipped"


def test_a_difference_is_explained_by_a_line_with_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "compatibility.md"
    path.write_text(DOCUMENT)
    document = Document.read(path)
    assert document.explains("pika", "t.Class::test[a-1]")
    assert not document.explains("pika", "t.Class::test[b-1]")
    assert not document.explains("kombu", "t.Class::test[a-1]")
    assert not document.explains("kombu", "t::test"), "there is no reason behind the colon"


def test_the_table_is_written_and_the_rest_kept(tmp_path: Path) -> None:
    path = tmp_path / "compatibility.md"
    path.write_text(DOCUMENT)
    runs = Run("RabbitMQ 3.10.8", {"a": PASSED}), Run("Leveret 0.1", {"a": FAILED})
    Document.read(path).write([Comparison("pika", "1.4", *runs)])
    text = path.read_text()
    assert "| pika | 1.4 | 1 | 0 | 0 | 0 | 1 | 0 | 1 | 0 |" in text
    assert "old" not in text
    assert text.startswith("# Head") and "a detail of Erlang" in text


def test_a_document_without_its_marks_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "compatibility.md"
    path.write_text("# Head\n")
    with pytest.raises(CannotRun, match="marks"):
        Document.read(path)


def test_a_checkout_comes_before_a_distribution_and_a_newer_one_before_an_older(tmp_path: Path) -> None:
    suite = SUITES[0]
    with pytest.raises(CannotRun, match=f"no {suite.name}"):
        suite.folder(tmp_path)
    for name in ("pika-1.9.0", "pika-1.10.0", "pika-extras"):
        (tmp_path / name).mkdir()
    assert suite.folder(tmp_path).name == "pika-1.10.0"
    (tmp_path / "pika").mkdir()
    assert suite.folder(tmp_path).name == "pika"
    with pytest.raises(CannotRun, match="may be without tests"):
        suite.paths(tmp_path / "pika")


@pytest.mark.parametrize("method", ["connect", "connect_ex"])
def test_a_connection_to_a_fixed_port_goes_to_the_broker_under_test(method: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT / "compat" / "redirect"),
            "COMPAT_PORTS": f"5672={server.getsockname()[1]}",
        }
        program = f"import socket; s = socket.socket(); s.{method}(('localhost', 5672)); s.send(b'it is me')"
        subprocess.run([sys.executable, "-c", program], env=environment, check=True)
        server.settimeout(10)
        connection, _ = server.accept()
        with connection:
            assert connection.recv(100) == b"it is me"


def test_dockers_stand_in_tells_the_ports() -> None:
    with docker.stand_in({5672: 40001}) as host:
        url = host.replace("tcp://", "http://")
        created = urllib.request.Request(f"{url}/containers/create", data=b"{}", method="POST")
        with urllib.request.urlopen(created) as answer:
            container = json.load(answer)["Id"]
        with urllib.request.urlopen(f"{url}/containers/{container}/json") as answer:
            ports = json.load(answer)["NetworkSettings"]["Ports"]
    assert ports["5672/tcp"][0]["HostPort"] == "40001"


def test_without_its_sources_it_says_what_is_missing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "compat", "--src", str(tmp_path), "--work", str(tmp_path / "work")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "no pika in" in done.stderr
