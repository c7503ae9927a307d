"""The brokers that the suites are run on: those of the test suite, with a TLS listener where a suite wants one."""

from __future__ import annotations

import os
import pwd
import re
from pathlib import Path

import trustme
from tests import brokers
from tests.brokers import BrokerFailed, free_port

from compat import CannotRun
from compat.suite import Certificates, Suite

__all__ = ["KINDS", "Broker", "BrokerFailed", "Leveret", "RabbitMQ"]


def certificates(suite: Suite, folder: Path, to: Path) -> dict[str, Path]:
    """The broker's certificate files, by RabbitMQ's option names, in `to`, where the broker may read them."""
    given = suite.certificates
    has_them = given is not None and (folder / (given.dockerfile or given.authority)).exists()
    texts = _of_suite(given, folder) if given is not None and has_them else _own()
    files = {option: to / f"{option}.pem" for option in texts}
    for option, path in files.items():
        path.write_text(texts[option])
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


class RabbitMQ(brokers.RabbitMQ):
    """A node with management and, if the suite has certificates, TLS."""

    def __init__(self, suite: Suite, folder: Path) -> None:
        reason = self.missing()
        if reason:
            raise CannotRun(f"{reason}. Install it: apt-get install rabbitmq-server")
        super().__init__(management=True)
        self.tls_port: int | None = None
        if suite.tls:
            self._add_tls(suite, folder)

    def _add_tls(self, suite: Suite, folder: Path) -> None:
        self.tls_port = free_port()
        files = certificates(suite, folder, self.directory)
        if os.geteuid() == 0:
            account = pwd.getpwnam(self.user)
            for path in files.values():
                os.chown(path, account.pw_uid, account.pw_gid)
        settings = [f"listeners.ssl.default = 127.0.0.1:{self.tls_port}"]
        settings += [f"ssl_options.{option} = {path}" for option, path in files.items()]
        with (self.directory / "rabbitmq.conf").open("a") as file:
            file.write("\n".join(settings) + "\n")


class Leveret(brokers.Leveret):
    """`leveret broker` with management."""

    def __init__(self, suite: Suite, folder: Path) -> None:
        super().__init__(management=True)
        self.tls_port: int | None = None


Broker = Leveret | RabbitMQ
KINDS: dict[str, type[Leveret] | type[RabbitMQ]] = {"rabbitmq": RabbitMQ, "leveret": Leveret}
