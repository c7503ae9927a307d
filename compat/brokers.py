"""The brokers that the suites are run on: those of the test suite, with a TLS listener where a suite wants one."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import trustme
from tests.brokers import KINDS, Broker, BrokerFailed

from compat import CannotRun
from compat.suite import Certificates, Suite

__all__ = ["KINDS", "Broker", "BrokerFailed", "broker", "certificates"]


def certificates(suite: Suite, folder: Path, to: Path) -> dict[str, Path]:
    """The broker's certificate files, by RabbitMQ's option names, in `to`, where the broker may read them."""
    given = suite.certificates
    has_them = given is not None and (folder / (given.dockerfile or given.authority)).exists()
    texts = _of_suite(given, folder) if given is not None and has_them else _own()
    files = {option: to / f"{option}.pem" for option in texts}
    for option, path in files.items():
        path.write_text(texts[option])
        path.chmod(0o644)
    return files


def _own() -> dict[str, str]:
    authority = trustme.CA()
    server = authority.issue_cert("localhost", "127.0.0.1")
    chain = "".join(part.bytes().decode() for part in server.cert_chain_pems)
    key = server.private_key_pem.bytes().decode()
    return {"cacertfile": authority.cert_pem.bytes().decode(), "certfile": chain, "keyfile": key}


def _of_suite(given: Certificates, folder: Path) -> dict[str, str]:
    paths = {"cacertfile": given.authority, "certfile": given.certificate, "keyfile": given.key}
    if not given.dockerfile:
        return {option: (folder / path).read_text() for option, path in paths.items()}
    written = re.findall(r"echo '([^']*)' > (\S+)", (folder / given.dockerfile).read_text())
    found = {path: text.replace("\\n\\\n", "\n") + "\n" for text, path in written}
    return {option: found[path] for option, path in paths.items()}


class Tls:
    """What each broker is told to speak TLS with the suite's certificates; clients need none, as in the suites' own runs."""

    def __init__(self, suite: Suite, folder: Path) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="compat-tls-"))
        self.directory.chmod(0o755)
        self.files = certificates(suite, folder, self.directory)

    def options(self, port: int) -> list[str]:
        """For `leveret broker`."""
        files = self.files
        options = ["--tls-port", str(port), "--tls-cert", str(files["certfile"]), "--tls-key", str(files["keyfile"])]
        return [*options, "--tls-ca", str(files["cacertfile"])]

    def rabbitmq(self, port: int) -> list[str]:
        """For rabbitmq.conf."""
        own = [f"ssl_options.{option} = {path}" for option, path in self.files.items()]
        return [f"listeners.ssl.default = 127.0.0.1:{port}", *own]

    def remove(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)


@contextmanager
def broker(kind: str, suite: Suite, folder: Path) -> Iterator[Broker]:
    """A running broker of the suite's own, with management and, if the suite wants it, TLS."""
    made = KINDS[kind]
    if made.missing():
        raise CannotRun(f"{made.missing()}. Install it: apt-get install rabbitmq-server")
    with ExitStack() as stack:
        tls = Tls(suite, folder) if suite.tls else None
        if tls is not None:
            stack.callback(tls.remove)
        own = made(management=True, tls=tls)
        stack.callback(own.remove)
        own.start()
        yield own
