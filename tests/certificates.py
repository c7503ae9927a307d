"""A certificate authority for tests, and what each broker is told to speak TLS with its certificates."""

from __future__ import annotations

import shutil
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme


class Authority:
    """Files below a directory that a broker of another user can read; `remove` when done."""

    def __init__(self) -> None:
        self._made = trustme.CA()
        self.directory = Path(tempfile.mkdtemp(prefix="leveret-tls-"))
        self.directory.chmod(0o755)
        self.ca = self._write("ca.pem", self._made.cert_pem)
        server = self._made.issue_cert("127.0.0.1", "localhost")
        self.certificate = self._write("server.pem", *server.cert_chain_pems)
        self.key = self._write("server.key", server.private_key_pem)

    def _write(self, name: str, *blobs: trustme.Blob) -> Path:
        path = self.directory / name
        path.write_bytes(b"".join(blob.bytes() for blob in blobs))
        path.chmod(0o644)
        return path

    def client(self, name: str, *identities: str, **subject: Any) -> tuple[Path, Path]:
        """Certificate and key of a client."""
        issued = self._made.issue_cert(*(identities or ("client.example",)), **subject)
        return self._write(f"{name}.pem", *issued.cert_chain_pems), self._write(f"{name}.key", issued.private_key_pem)

    def context(self, certificate: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        """How a client speaks to a broker with the server certificate."""
        context = ssl.create_default_context(cafile=self.ca)
        if certificate is not None:
            context.load_cert_chain(*certificate)
        return context

    def remove(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)


@dataclass(frozen=True)
class ServerTls:
    authority: Authority
    verify: bool = True
    fail_if_no_peer_cert: bool = False
    login_from: str = "distinguished_name"

    def options(self, port: int) -> list[str]:
        """For `leveret broker`."""
        own = self.authority
        options = ["--tls-port", str(port), "--tls-cert", str(own.certificate), "--tls-key", str(own.key)]
        options += ["--tls-ca", str(own.ca), "--tls-verify", "peer" if self.verify else "none"]
        options += ["--set", f"ssl_cert_login_from={self.login_from}"]
        return options + (["--tls-fail-if-no-peer-cert"] if self.fail_if_no_peer_cert else [])

    def rabbitmq(self, port: int) -> list[str]:
        """For rabbitmq.conf."""
        own = self.authority
        return [
            f"listeners.ssl.default = 127.0.0.1:{port}",
            f"ssl_options.cacertfile = {own.ca}",
            f"ssl_options.certfile = {own.certificate}",
            f"ssl_options.keyfile = {own.key}",
            f"ssl_options.verify = {'verify_peer' if self.verify else 'verify_none'}",
            f"ssl_options.fail_if_no_peer_cert = {str(self.fail_if_no_peer_cert).lower()}",
            f"ssl_cert_login_from = {self.login_from}",
            "auth_mechanisms.1 = PLAIN",
            "auth_mechanisms.2 = AMQPLAIN",
            "auth_mechanisms.3 = EXTERNAL",
        ]
