"""The effective configuration: command line before environment before file before default, and where each came from.

A key of the file is a field of server/config; LEVERET_ and the key in capitals, `_` for the dot, is its environment
variable. What is wrong raises ConfigError with one line that names place and key. Called by the command line.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

from leveret.errors import ConfigError
from leveret.server.config import About, Config

TRUE: Final = frozenset({"1", "true", "yes", "on"})
FALSE: Final = frozenset({"0", "false", "no", "off"})
NAMES: Final[dict[type, str]] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a string",
    Path: "a path",
    tuple: "a list of strings",
}


@dataclass(frozen=True, slots=True)
class Setting:
    key: str
    kind: type
    default: Any
    about: About

    @property
    def variable(self) -> str:
        return "LEVERET_" + self.key.upper().replace(".", "_")

    def expected(self) -> str:
        """The values it takes, in words."""
        about = self.about
        if about.choices:
            some = ", ".join(about.choices[:-1])
            return ("some of " if self.kind is tuple else "") + f"{some} or {about.choices[-1]}"
        least = "" if about.least is None else f" from {about.least:g}"
        return f"{NAMES[self.kind]}{least}" + ("" if about.most is None else f" to {about.most:.0f}")

    def checked(self, value: object, where: str) -> Any:
        """The value as `Config` has it, or ConfigError."""
        taken = self._taken(value)
        if taken is None or not self._within(taken):
            shown = "what it is" if self.about.secret else repr(value)
            raise ConfigError(f"{where}: {self.key}: expected {self.expected()}, not {shown}")
        return taken

    def _taken(self, value: object) -> Any:
        if self.kind is tuple:
            is_list = isinstance(value, list) and value and all(isinstance(one, str) for one in value)
            return tuple(value) if is_list and isinstance(value, list) else None
        if self.kind is Path:
            return Path(value) if isinstance(value, str) and value else None
        if self.kind is float and type(value) is int:
            return float(value)
        return value if type(value) is self.kind else None

    def _within(self, value: Any) -> bool:
        about = self.about
        if about.choices:
            return set(value if self.kind is tuple else [value]) <= set(about.choices)
        return (about.least is None or value >= about.least) and (about.most is None or value <= about.most)

    def from_text(self, text: str, where: str) -> Any:
        """From an environment variable or the command line."""
        value: object = text
        if self.kind is tuple:
            value = [part.strip() for part in text.split(",")]
        elif self.kind is bool:
            value = True if text.lower() in TRUE else False if text.lower() in FALSE else text
        elif self.kind in (int, float):
            try:
                value = self.kind(text)
            except ValueError:
                value = text
        return self.checked(value, where)


def _settings(model: type, prefix: str = "") -> Iterator[Setting]:
    hints = get_type_hints(model, include_extras=True)
    for one in fields(model):
        hint = hints[one.name]
        if get_origin(hint) is Annotated:
            kind, about = get_args(hint)
            yield Setting(prefix + one.name, _kind(kind), one.default, about)
        else:
            yield from _settings(hint, f"{prefix}{one.name}.")


def _kind(hint: Any) -> type:
    """int for `int` and `int | None`, tuple for `tuple[str, ...]`."""
    if isinstance(hint, UnionType):
        hint = next(one for one in get_args(hint) if one is not type(None))
    kind: type = get_origin(hint) or hint
    return kind


SETTINGS: Final = {one.key: one for one in _settings(Config)}


@dataclass(frozen=True, slots=True)
class Effective:
    config: Config
    origins: dict[str, str]
    """By key: `default` or where the value was given."""

    def value(self, key: str) -> Any:
        found: Any = self.config
        for name in key.split("."):
            found = getattr(found, name)
        return found

    def lines(self) -> Iterator[str]:
        """A configuration file that says the same, each line with its origin."""
        table = ""
        for key, setting in SETTINGS.items():
            head, _, name = key.rpartition(".")
            if head != table:
                table = head
                yield f"\n[{head}]"
            value = self.value(key)
            text = f"# {name} =" if value is None else f"{name} = {_toml('***' if setting.about.secret else value)}"
            yield f"{text:<42}  # {self.origins[key]}"


def _toml(value: object) -> str:
    return json.dumps(list(value) if isinstance(value, tuple) else str(value) if isinstance(value, Path) else value)


def gather(
    file: Path | None, environment: Mapping[str, str], command_line: Mapping[str, tuple[str, str | int | bool]]
) -> Effective:
    """`command_line`: by key, the option that gave it and its value. ConfigError says what is wrong and where."""
    values: dict[str, Any] = {}
    origins = dict.fromkeys(SETTINGS, "default")
    for key, value in _flat(_read(file), str(file)) if file is not None else ():
        values[key] = SETTINGS[key].checked(value, str(file))
        origins[key] = str(file)
    for key, setting in SETTINGS.items():
        text = environment.get(setting.variable)
        if text is not None:
            values[key] = setting.from_text(text, setting.variable)
            origins[key] = setting.variable
    for key, (option, given) in command_line.items():
        setting = known(key, option)
        values[key] = setting.from_text(str(given), option)
        origins[key] = option
    config = _built(Config, values)
    _check(config)
    return Effective(config, origins)


def known(key: str, where: str) -> Setting:
    setting = SETTINGS.get(key)
    if setting is None:
        raise ConfigError(f"{where}: {key}: there is no such setting")
    return setting


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None


def _flat(table: dict[str, Any], where: str, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        key = prefix + name
        if isinstance(value, dict) and key not in SETTINGS and any(one.startswith(f"{key}.") for one in SETTINGS):
            yield from _flat(value, where, f"{key}.")
        elif any(one.startswith(f"{key}.") for one in SETTINGS):
            raise ConfigError(f"{where}: {key}: expected a table, not {value!r}")
        else:
            known(key, where)
            yield key, value


def _built(model: type, values: Mapping[str, Any], prefix: str = "") -> Any:
    hints = get_type_hints(model)
    chosen = {}
    for one in fields(model):
        key = prefix + one.name
        if is_dataclass(hints[one.name]):
            chosen[one.name] = _built(hints[one.name], values, f"{key}.")
        elif key in values:
            chosen[one.name] = values[key]
    return model(**chosen)


def _check(config: Config) -> None:
    """Settings that do not go together."""
    options = config.ssl_options
    if not config.tcp and config.socket is None and config.tls_port is None:
        raise ConfigError("--no-tcp needs --socket PATH or --tls-port: the broker would listen nowhere")
    management = config.management
    if not management.tcp and management.socket is None and management.tls_port is None and management.enabled:
        raise ConfigError("management.tcp = false needs management.socket or management.tls_port, or --no-management")
    if management.tls_port is not None and options.certfile is None:
        raise ConfigError("management.tls_port needs ssl_options.certfile (--tls-cert), the broker's certificate")
    if config.tls_port is not None and options.certfile is None:
        raise ConfigError("tls_port (--tls-port) needs ssl_options.certfile (--tls-cert), the broker's certificate")
    if options.verify == "verify_peer" and options.cacertfile is None:
        raise ConfigError("ssl_options.verify = verify_peer needs ssl_options.cacertfile (--tls-ca)")
    if options.fail_if_no_peer_cert and options.verify != "verify_peer":
        raise ConfigError("ssl_options.fail_if_no_peer_cert needs ssl_options.verify = verify_peer (--tls-verify peer)")
    if config.tls_port is not None and config.tcp and 0 != config.tls_port == config.port:
        raise ConfigError(f"port and tls_port are both {config.port}")
    if config.limits.unfinished_bytes_max < config.limits.message_bytes_max:
        raise ConfigError(
            "limits.unfinished_bytes_max is less than limits.message_bytes_max: no such message could come"
        )
    if 0 < config.limits.frame_max < 4096:
        raise ConfigError(
            f"limits.frame_max = {config.limits.frame_max}: expected 0 or at least 4096 (AMQP 0-9-1 4.2.3)"
        )
