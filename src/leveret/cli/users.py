"""Commands for users, their tags and limits, under rabbitmqctl's names."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from leveret.cli.asking import Format, Formatter, Url, ask, done, json_object, path, secret, show
from leveret.cli.output import fail
from leveret.cli.reaching import api_of
from leveret.errors import ManagementError
from leveret.management.remote import Declined, remote

Name = Annotated[str, typer.Argument(metavar="USERNAME")]
Password = Annotated[str | None, typer.Argument(help="Read from standard input if it is not given.")]


def no_user(name: str) -> str:
    return f"user {name!r} does not exist"


def find(url: str | None, name: str) -> dict[str, Any]:
    user: dict[str, Any] = ask(url, "GET", path("users", name), missing=no_user(name))
    return user


def add_user(username: Name, password: Password = None, management: Url = None) -> None:
    """Create a user, without tags and permissions."""
    names = [user["name"] for user in ask(management, "GET", path("users"))]
    if username in names:
        fail(f"user {username!r} exists already", 1)
    body = {"password": secret(password, "Password"), "tags": ""}
    ask(management, "PUT", path("users", username), body)
    done(f"user {username!r} added; it has no permissions yet: leveret set-permissions")


def delete_user(username: Name, management: Url = None) -> None:
    """Delete a user with its permissions; its connections are closed."""
    ask(management, "DELETE", path("users", username), missing=no_user(username))
    done(f"user {username!r} deleted")


def change_password(username: Name, password: Password = None, management: Url = None) -> None:
    """Change a user's password; tags and permissions stay."""
    user = find(management, username)
    body = {"password": secret(password, "New password"), "tags": tags_text(user)}
    ask(management, "PUT", path("users", username), body)
    done(f"password of user {username!r} changed")


def set_user_tags(
    username: Name,
    tags: Annotated[
        list[str] | None, typer.Argument(metavar="[TAG]...", help="administrator, monitoring, policymaker, management")
    ] = None,
    management: Url = None,
) -> None:
    """Set a user's tags in place of those that it has; none: take all away."""
    user = find(management, username)
    kept: dict[str, Any] = {key: user[key] for key in ("password_hash", "hashing_algorithm") if key in user}
    ask(management, "PUT", path("users", username), {**kept, "tags": ",".join(tags or [])})
    done(f"tags of user {username!r}: {', '.join(tags or []) or 'none'}")


def tags_text(user: dict[str, Any]) -> str:
    """RabbitMQ before 3.9 writes tags as one text."""
    tags = user.get("tags", [])
    return tags if isinstance(tags, str) else ",".join(tags)


def list_users(management: Url = None, formatter: Format = Formatter.table) -> None:
    """List users and their tags."""
    rows = [{"user": one["name"], "tags": one["tags"]} for one in ask(management, "GET", path("users"))]
    show(rows, ["user", "tags"], formatter)


def authenticate_user(username: Name, password: Password = None, management: Url = None) -> None:
    """Say whether the password is the user's: exit code 0, or 1."""
    try:
        remote(api_of(management), username, secret(password, "Password")).ask("GET", path("whoami"))
    except Declined as declined:
        # Who may not use the management API but was let in as far as to be told so has the right password.
        if declined.status != 401 or "management user" not in declined.reason:
            fail(f"user {username!r} and this password do not belong together", 1)
    except ManagementError as error:
        fail(str(error), 1)
    except ValueError as error:
        fail(f"--management {error}")
    done(f"user {username!r} authenticated")


# ---- limits


def set_user_limits(
    username: Name,
    definition: Annotated[str, typer.Argument(help='JSON, as {"max-connections": 10}; -1: no limit.')],
    management: Url = None,
) -> None:
    """Limit a user's connections (max-connections) and channels (max-channels)."""
    for limit, value in json_object(definition, "DEFINITION").items():
        ask(management, "PUT", path("user-limits", username, limit), {"value": value}, missing=no_user(username))
    done(f"limits of user {username!r} set")


def clear_user_limits(
    username: Name,
    limit: Annotated[str, typer.Argument(help="max-connections, max-channels or all.")] = "all",
    management: Url = None,
) -> None:
    """Take a user's limit away, or all of them."""
    for one in ("max-connections", "max-channels") if limit == "all" else (limit,):
        ask(management, "DELETE", path("user-limits", username, one), missing=no_user(username))
    done(f"limits of user {username!r} cleared")


def list_user_limits(
    user: Annotated[str | None, typer.Option("--user", help="Only this user's.")] = None,
    global_: Annotated[bool, typer.Option("--global", help="All users', which is the default.")] = False,
    management: Url = None,
    formatter: Format = Formatter.table,
) -> None:
    """List users' limits."""
    at = path("user-limits") if user is None else path("user-limits", user)
    rows = [
        {"user": row["user"], "limits": row["value"]}
        for row in ask(management, "GET", at, missing="" if user is None else no_user(user))
        if row["value"]
    ]
    show(rows, ["user", "limits"], formatter)


COMMANDS = {
    "add-user": add_user,
    "delete-user": delete_user,
    "change-password": change_password,
    "set-user-tags": set_user_tags,
    "list-users": list_users,
    "authenticate-user": authenticate_user,
    "set-user-limits": set_user_limits,
    "clear-user-limits": clear_user_limits,
    "list-user-limits": list_user_limits,
}
