"""Where the API can be reached besides its port: over TLS, on a Unix socket, and the local broker of a directory."""

from __future__ import annotations

import json
import os
import select
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from brokers import BrokerFailed, Leveret, free_port
from certificates import Authority
from leveret.errors import ManagementError
from leveret.management.remote import Declined, remote


@pytest.fixture(scope="module")
def authority() -> Iterator[Authority]:
    made = Authority()
    yield made
    made.remove()


@pytest.fixture(scope="module")
def secure(authority: Authority) -> Iterator[tuple[Leveret, int, Path]]:
    """A broker, the port of its API over TLS, and its Unix socket: others than these it has not."""
    broker, port = Leveret(management=True), free_port()
    path = broker.directory / "http.sock"
    settings = {
        "management.tcp": "false",
        "management.tls_port": str(port),
        "management.socket": str(path),
        "ssl_options.certfile": str(authority.certificate),
        "ssl_options.keyfile": str(authority.key),
    }
    broker.more = tuple(part for key, value in settings.items() for part in ("--set", f"{key}={value}"))
    try:
        broker.start()
        yield broker, port, path
    finally:
        broker.remove()


def leveret(*arguments: str, at: Path | None = None, url: str = "") -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LEVERET_")}
    return subprocess.run(
        [sys.executable, "-m", "leveret", *arguments, *(("--management", url) if url else ())],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=at,
        env=environment,
        check=False,
    )


def test_the_api_speaks_tls_to_who_trusts_its_authority(
    secure: tuple[Leveret, int, Path], authority: Authority
) -> None:
    _, port, _ = secure
    url = f"https://guest:guest@localhost:{port}"
    assert remote(f"{url}?cacertfile={authority.ca}").ask("GET", "/api/whoami")["name"] == "guest"
    with pytest.raises(ManagementError, match=r"cannot trust https://localhost.*cacertfile"):
        remote(url).ask("GET", "/api/whoami")
    with pytest.raises(ManagementError, match="no certificates of an authority"):
        remote(f"{url}?cacertfile={authority.directory / 'missing'}").ask("GET", "/api/whoami")


def test_commands_reach_it_over_tls_and_on_its_socket(secure: tuple[Leveret, int, Path], authority: Authority) -> None:
    _, port, path = secure
    for url in (f"https://guest:guest@localhost:{port}?cacertfile={authority.ca}", f"http+unix://{path}"):
        done = leveret("list-queues", "name", "--formatter", "json", url=url)
        assert (done.returncode, json.loads(done.stdout or "null")) == (0, []), done.stderr


def test_its_socket_is_for_its_user_alone_and_guest_is_at_home_there(secure: tuple[Leveret, int, Path]) -> None:
    path = secure[2]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert remote(f"http+unix://{path}").ask("GET", "/api/whoami") == {"name": "guest", "tags": ["administrator"]}
    with pytest.raises(Declined, match="password is wrong"):
        remote(f"http+unix://guest:wrong@{path}").ask("GET", "/api/whoami")
    with pytest.raises(ManagementError, match="is the broker running"):
        remote(f"http+unix://{path}.missing").ask("GET", "/api/whoami")


def test_certificates_that_expire_soon_are_told(secure: tuple[Leveret, int, Path]) -> None:
    _, port, path = secure
    api = remote(f"http+unix://{path}")
    assert api.ask("GET", "/api/health/checks/certificate-expiration/1/days") == {"status": "ok"}
    with pytest.raises(Declined, match="Certificates expiring") as caught:
        api.ask("GET", "/api/health/checks/certificate-expiration/99999/years")
    assert caught.value.status == 503
    for wrong in ("1/fortnights", "x/days", "-1/days"):
        with pytest.raises(Declined, match="answered 400"):
            api.ask("GET", f"/api/health/checks/certificate-expiration/{wrong}")
    protocols = {one["protocol"]: one["port"] for one in api.ask("GET", "/api/overview")["listeners"]}
    assert protocols["https"] == port


def test_a_socket_left_by_a_killed_broker_is_not_in_the_way(secure: tuple[Leveret, int, Path]) -> None:
    broker, _, path = secure
    broker.kill()
    assert path.exists()
    broker.start()
    assert remote(f"http+unix://{path}").ask("GET", "/api/whoami")["name"] == "guest"


def test_a_good_end_takes_the_socket_with_it(secure: tuple[Leveret, int, Path]) -> None:
    broker, _, path = secure
    broker.stop()
    assert not path.exists()
    broker.start()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["management.tls_port=0"], "management.tls_port needs ssl_options.certfile"),
        (["management.tcp=false"], "needs management.socket or management.tls_port"),
        (["management.tcp=false", "management.socket=/nowhere/s"], "HTTP on /nowhere/s"),
    ],
)
def test_what_cannot_be_served_is_said_at_the_start(settings: list[str], said: str) -> None:
    broker = Leveret(management=True)
    broker.more = tuple(part for one in settings for part in ("--set", one))
    try:
        with pytest.raises(BrokerFailed, match=said):
            broker.start()
    finally:
        broker.remove()


def test_commands_find_the_local_broker_of_a_directory() -> None:
    with tempfile.TemporaryDirectory(prefix="lv-") as place:
        home = Path(place) / ".leveret"
        home.mkdir()
        try:
            listed = leveret("list-queues", "name", "--formatter", "json", at=Path(place))
            assert (listed.returncode, json.loads(listed.stdout or "null")) == (0, []), listed.stderr
            assert "held_ms" in leveret("unacked", at=Path(place)).stdout
            assert {one.name for one in home.iterdir()} >= {"broker.sock", "http.sock"}
        finally:
            end(home)


def end(home: Path) -> None:
    """The broker that a command has started: its sockets go with its end."""
    if (home / "broker.pid").exists():
        pid = int((home / "broker.pid").read_text())
        descriptor = os.pidfd_open(pid)
        os.kill(pid, 15)
        select.select([descriptor], [], [], 60)
        os.close(descriptor)


@pytest.mark.parametrize(
    "url",
    ["http://guest:s3cret@host:port", "ftp://guest:s3cret@host", "guest:s3cret@host", "http://guest:s3/cret@host"],
)
def test_a_wrong_url_is_told_without_its_password(url: str) -> None:
    done = leveret("list-queues", url=url)
    assert done.returncode != 0
    assert "expected http://USER:PASSWORD@HOST:PORT" in done.stderr
    assert "s3" not in done.stdout + done.stderr
