"""Commands for what users may do in a virtual host, under rabbitmqctl's names."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from leveret.cli.asking import Format, Formatter, Url, Vhost, ask, done, path, show
from leveret.cli.output import fail
from leveret.cli.users import Name, no_user
from leveret.cli.vhosts import no_vhost

Pattern = Annotated[str, typer.Argument(help="A regular expression for names; '' matches none.")]
TOPIC = ["exchange", "write", "read"]


def nothing(username: str, vhost: str) -> str:
    return f"user {username!r} has no such permissions in virtual host {vhost!r}"


def set_permissions(
    username: Name,
    configure: Pattern,
    write: Pattern,
    read: Pattern,
    vhost: Vhost = "/",
    management: Url = None,
) -> None:
    """Let a user into a virtual host, and say which names it may configure, write to and read from."""
    body = {"configure": configure, "write": write, "read": read}
    ask(management, "PUT", path("permissions", vhost, username), body)
    done(f"permissions of user {username!r} in virtual host {vhost!r} set")


def clear_permissions(username: Name, vhost: Vhost = "/", management: Url = None) -> None:
    """Shut a user out of a virtual host."""
    ask(management, "DELETE", path("permissions", vhost, username), missing=nothing(username, vhost))
    done(f"permissions of user {username!r} in virtual host {vhost!r} cleared")


def list_permissions(vhost: Vhost = "/", management: Url = None, formatter: Format = Formatter.table) -> None:
    """Who may do what in a virtual host."""
    rows = ask(management, "GET", path("vhosts", vhost, "permissions"), missing=no_vhost(vhost))
    show(rows, ["user", "configure", "write", "read"], formatter)


def list_user_permissions(username: Name, management: Url = None, formatter: Format = Formatter.table) -> None:
    """What a user may do, by virtual host."""
    rows = ask(management, "GET", path("users", username, "permissions"), missing=no_user(username))
    show(rows, ["vhost", "configure", "write", "read"], formatter)


# ---- topic permissions


def set_topic_permissions(
    username: Name,
    exchange: Annotated[str, typer.Argument(help="A topic exchange.")],
    write: Pattern,
    read: Pattern,
    vhost: Vhost = "/",
    management: Url = None,
) -> None:
    """Say with which routing keys a user may publish to a topic exchange and bind to it."""
    body = {"exchange": exchange, "write": write, "read": read}
    ask(management, "PUT", path("topic-permissions", vhost, username), body)
    done(f"topic permissions of user {username!r} for exchange {exchange!r} in virtual host {vhost!r} set")


def topics_of(management: str | None, vhost: str, username: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = ask(
        management, "GET", path("topic-permissions", vhost, username), missing=nothing(username, vhost)
    )
    return rows


def clear_topic_permissions(
    username: Name,
    exchange: Annotated[str | None, typer.Argument(help="Only those for this exchange.")] = None,
    vhost: Vhost = "/",
    management: Url = None,
) -> None:
    """Take a user's topic permissions away, for one exchange or for all."""
    rest = [] if exchange is None else topics_of(management, vhost, username)
    if exchange is not None and exchange not in [row["exchange"] for row in rest]:
        fail(nothing(username, vhost), 1)
    # The API can only take all away: those of the other exchanges are given back.
    ask(management, "DELETE", path("topic-permissions", vhost, username), missing=nothing(username, vhost))
    for row in rest:
        if row["exchange"] != exchange:
            body = {name: row[name] for name in TOPIC}
            ask(management, "PUT", path("topic-permissions", vhost, username), body)
    done(f"topic permissions of user {username!r} in virtual host {vhost!r} cleared")


def list_topic_permissions(vhost: Vhost = "/", management: Url = None, formatter: Format = Formatter.table) -> None:
    """With which routing keys users may publish and bind in a virtual host."""
    rows = ask(management, "GET", path("vhosts", vhost, "topic-permissions"), missing=no_vhost(vhost))
    show(rows, ["user", *TOPIC], formatter)


COMMANDS = {
    "set-permissions": set_permissions,
    "clear-permissions": clear_permissions,
    "list-permissions": list_permissions,
    "list-user-permissions": list_user_permissions,
    "set-topic-permissions": set_topic_permissions,
    "clear-topic-permissions": clear_topic_permissions,
    "list-topic-permissions": list_topic_permissions,
}
