"""`leveret broker`: runs the broker in the foreground until SIGTERM or Ctrl-C.

An option that was given is a setting's value (server/settings), whatever the environment and the file say.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from leveret.cli.company import Company
from leveret.cli.output import fail
from leveret.errors import ConfigError, LeveretError, StoreInUse
from leveret.server.run import run
from leveret.server.settings import gather

KEYS: dict[str, tuple[str, str]] = {
    "host": ("--host", "host"),
    "port": ("--port", "port"),
    "no_tcp": ("--no-tcp", "tcp"),
    "tls_port": ("--tls-port", "tls_port"),
    "tls_cert": ("--tls-cert", "ssl_options.certfile"),
    "tls_key": ("--tls-key", "ssl_options.keyfile"),
    "tls_ca": ("--tls-ca", "ssl_options.cacertfile"),
    "tls_verify": ("--tls-verify", "ssl_options.verify"),
    "tls_fail_if_no_peer_cert": ("--tls-fail-if-no-peer-cert", "ssl_options.fail_if_no_peer_cert"),
    "socket": ("--socket", "socket"),
    "data": ("--data", "data"),
    "memory": ("--memory", "memory"),
    "management_port": ("--management-port", "management.port"),
    "no_management": ("--no-management", "management.enabled"),
    "log_level": ("--log-level", "log_level"),
}
"""By parameter of the command: its option, and the setting it gives a value."""

Given = dict[str, tuple[str, str | int | bool]]


def broker(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(help="Address to listen on; default: 127.0.0.1.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="TCP port, by default 5672; 0 takes a free one.")
    ] = None,
    no_tcp: Annotated[bool, typer.Option("--no-tcp", help="Do not listen on --port.")] = False,
    tls_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="TCP port for TLS, by custom 5671; default: no TLS.")
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="The broker's certificate with its chain, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key, PEM.")] = None,
    tls_ca: Annotated[Path | None, typer.Option(help="Authorities that clients' certificates may be of, PEM.")] = None,
    tls_verify: Annotated[
        str | None, typer.Option(metavar="peer|none", help="Ask clients for a certificate and check it; default: none.")
    ] = None,
    tls_fail_if_no_peer_cert: Annotated[
        bool, typer.Option("--tls-fail-if-no-peer-cert", help="Refuse clients without a certificate.")
    ] = False,
    socket: Annotated[Path | None, typer.Option(help="Listen on this Unix socket as well.")] = None,
    data: Annotated[Path | None, typer.Option(help="Directory for messages; default: leveret-data.")] = None,
    memory: Annotated[bool, typer.Option("--memory", help="Keep nothing: for tests and trials.")] = False,
    management_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port of the HTTP API; default: 15672.")
    ] = None,
    no_management: Annotated[bool, typer.Option("--no-management", help="No HTTP API.")] = False,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error; default: info.")] = None,
    config: Annotated[
        Path | None, typer.Option(envvar="LEVERET_CONFIG", help="Configuration file, TOML: docs/configuration.md.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any setting, by its key in the file.")
    ] = None,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print the effective settings, each with its origin, and exit.")
    ] = False,
) -> None:
    """Run the broker until SIGTERM or Ctrl-C. Prints one line beginning with `ready` when it accepts connections."""
    try:
        effective = gather(config, os.environ, given(context.params))
        if print_config:
            typer.echo("\n".join(effective.lines()))
            return
        company = Company(effective.config)
        code = run(effective.config, beside=company.beside, mount=company.mount)
    except ConfigError as error:
        fail(str(error))
    except StoreInUse as error:
        fail(str(error), os.EX_TEMPFAIL)
    except LeveretError as error:
        fail(str(error), 1)
    except OSError as error:
        fail(f"cannot listen: {error.strerror or error}", 1)
    raise typer.Exit(code)


def given(parameters: dict[str, Any]) -> Given:
    """The settings that the command line gives. An option that only makes sense with another setting brings it along."""
    values: Given = {}
    for setting in parameters["set_"] or ():
        key, equals, value = setting.partition("=")
        if not equals:
            fail(f"--set {setting}: expected KEY=VALUE")
        values[key] = ("--set", value)
    if parameters["data"] is not None:
        values["memory"] = ("--data", False)
    if parameters["management_port"] is not None:
        values["management.enabled"] = ("--management-port", True)
    if parameters["port"] is not None:
        values["tcp"] = ("--port", True)
    for name, (option, key) in KEYS.items():
        value = parameters[name]
        if value is None or value is False:
            continue
        if name.startswith("no_"):
            value = False
        elif name == "tls_verify" and value in ("peer", "none"):
            value = f"verify_{value}"
        values[key] = (option, value if isinstance(value, bool) else str(value))
    return values
