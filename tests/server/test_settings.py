"""The broker's configuration: what wins over what, what is refused and how, and that the manual tells the truth."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pika
import pytest

from brokers import Leveret
from leveret.errors import ConfigError
from leveret.server.config import Config, Limits
from leveret.server.settings import SETTINGS, Setting, gather

MANUAL = Path(__file__).parent.parent.parent / "docs" / "configuration.md"


def write(path: Path, text: str) -> Path:
    file = path / "leveret.toml"
    file.write_text(text)
    return file


def test_without_anything_the_defaults_hold() -> None:
    effective = gather(None, {}, {})
    assert effective.config == Config()
    assert set(effective.origins.values()) == {"default"}


def test_command_line_before_environment_before_file_before_default(tmp_path: Path) -> None:
    file = write(tmp_path, "port = 1\nhost = 'file'\ndata = 'file'\n[limits]\nheartbeat_s = 1\nclose_s = 2\n")
    environment = {"LEVERET_PORT": "2", "LEVERET_HOST": "environment", "LEVERET_LIMITS_HEARTBEAT_S": "2"}
    effective = gather(file, environment, {"port": ("--port", 3)})
    config = effective.config
    assert (config.port, config.host, config.data) == (3, "environment", Path("file"))
    assert config.limits == Limits(heartbeat_s=2, close_s=2.0)
    assert [effective.origins[key] for key in ("port", "host", "data", "memory")] == [
        "--port",
        "LEVERET_HOST",
        str(file),
        "default",
    ]


def test_every_kind_of_value_is_read_from_text() -> None:
    environment = {
        "LEVERET_TCP": "off",
        "LEVERET_MEMORY": "Yes",
        "LEVERET_TLS_PORT": "0",
        "LEVERET_SSL_OPTIONS_CERTFILE": "c.pem",
        "LEVERET_SSL_OPTIONS_VERSIONS": "tlsv1.2, tlsv1.3",
        "LEVERET_LIMITS_HANDSHAKE_S": "2.5",
    }
    config = gather(None, environment, {}).config
    assert (config.tcp, config.memory, config.tls_port, config.directory) == (False, True, 0, None)
    assert config.ssl_options.certfile == Path("c.pem")
    assert config.ssl_options.versions == ("tlsv1.2", "tlsv1.3")
    assert config.limits.handshake_s == 2.5


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("prot = 1", "prot: there is no such setting"),
        ("[limit]\nframe_max = 1", "limit: there is no such setting"),
        ("[limits]\nframemax = 1", "limits.framemax: there is no such setting"),
        ("limits = 3", "limits: expected a table, not 3"),
        ("[host]\na = 1", "host: expected a string, not {'a': 1}"),
        ("port = '5672'", "port: expected a whole number from 0 to 65535, not '5672'"),
        ("port = true", "port: expected a whole number from 0 to 65535, not True"),
        ("port = 1.0", "port: expected a whole number from 0 to 65535, not 1.0"),
        ("port = 65536", "port: expected a whole number from 0 to 65535, not 65536"),
        ("tcp = 1", "tcp: expected true or false, not 1"),
        ("data = ''", "data: expected a path, not ''"),
        ("log_level = 'loud'", "log_level: expected debug, info, warning or error, not 'loud'"),
        ("auth_mechanisms = 'PLAIN'", "auth_mechanisms: expected some of PLAIN, AMQPLAIN or EXTERNAL, not 'PLAIN'"),
        ("auth_mechanisms = []", "auth_mechanisms: expected some of PLAIN, AMQPLAIN or EXTERNAL, not []"),
        ("auth_mechanisms = ['WAT']", "auth_mechanisms: expected some of PLAIN, AMQPLAIN or EXTERNAL, not ['WAT']"),
        ("[limits]\nhandshake_s = nan", "limits.handshake_s: expected a number from 0.1 to 86400, not nan"),
        ("[limits]\nhandshake_s = inf", "limits.handshake_s: expected a number from 0.1 to 86400, not inf"),
        ("[ssl_options]\npassword = 1", "ssl_options.password: expected a string, not what it is"),
        ("port = ", "not TOML: "),
    ],
)
def test_what_is_wrong_in_the_file_is_told_with_file_and_key(tmp_path: Path, text: str, says: str) -> None:
    file = write(tmp_path, text)
    with pytest.raises(ConfigError) as refused:
        gather(file, {}, {})
    assert str(refused.value).startswith(f"{file}: {says}")


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"LEVERET_PORT": "many"}, "LEVERET_PORT: port: expected a whole number from 0 to 65535, not 'many'"),
        ({"LEVERET_PORT": ""}, "LEVERET_PORT: port: expected a whole number from 0 to 65535, not ''"),
        ({"LEVERET_TCP": "maybe"}, "LEVERET_TCP: tcp: expected true or false, not 'maybe'"),
        ({"LEVERET_TCP": "0"}, "--no-tcp needs --socket PATH or --tls-port: the broker would listen nowhere"),
        ({"LEVERET_LIMITS_FRAME_MAX": "100"}, "limits.frame_max = 100: expected 0 or at least 4096 (AMQP 0-9-1 4.2.3)"),
        (
            {"LEVERET_SSL_OPTIONS_FAIL_IF_NO_PEER_CERT": "1"},
            "ssl_options.fail_if_no_peer_cert needs ssl_options.verify = verify_peer (--tls-verify peer)",
        ),
        (
            {"LEVERET_TLS_PORT": "5672", "LEVERET_SSL_OPTIONS_CERTFILE": "x"},
            "port and tls_port are both 5672",
        ),
    ],
)
def test_what_is_wrong_in_the_environment_or_contradicts_itself(environment: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        gather(None, environment, {})
    assert str(refused.value) == says


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere: cannot be read: No such file"):
        gather(tmp_path / "nowhere", {}, {})


def test_what_is_printed_is_a_file_that_says_the_same(tmp_path: Path) -> None:
    changed = {"LEVERET_DATA": 'a \\ "b" c', "LEVERET_LIMITS_CLOSE_S": "0.5", "LEVERET_AUTH_MECHANISMS": "EXTERNAL"}
    first = gather(None, changed, {})
    second = gather(write(tmp_path, "\n".join(first.lines())), {}, {})
    assert second.config == first.config
    assert "default" not in {second.origins[key] for key in ("port", "data", "limits.close_s")}


def test_the_password_of_a_key_is_not_printed() -> None:
    lines = list(gather(None, {"LEVERET_SSL_OPTIONS_PASSWORD": "hush"}, {}).lines())
    assert not any("hush" in line for line in lines)


def leveret(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "leveret", *arguments], capture_output=True, text=True, timeout=60)


def test_the_command_prints_the_effective_settings(tmp_path: Path) -> None:
    file = write(tmp_path, "port = 1\n[management]\nenabled = false\n")
    printed = leveret("broker", "--config", str(file), "--management-port", "7", "--set", "limits.close_s=9",
                      "--print-config")  # fmt: skip
    assert printed.returncode == 0
    values = tomllib.loads(printed.stdout)
    management = values["management"]
    assert (values["port"], management["enabled"], management["port"], values["limits"]["close_s"]) == (1, True, 7, 9)
    assert re.search(rf"^port = 1 +# {re.escape(str(file))}$", printed.stdout, re.M)
    assert re.search(r"^enabled = true +# --management-port$", printed.stdout, re.M)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--config", "/nowhere.toml"], "/nowhere.toml: cannot be read"),
        (["--set", "port"], "--set port: expected KEY=VALUE"),
        (["--set", "prot=1"], "--set: prot: there is no such setting"),
        (["--set", "port=x"], "--set: port: expected a whole number"),
    ],
)
def test_a_mistake_ends_with_one_line_and_code_2(arguments: list[str], says: str) -> None:
    ended = leveret("broker", *arguments)
    assert (ended.returncode, ended.stdout, len(ended.stderr.splitlines())) == (2, "", 1)
    assert says in ended.stderr


class Small(Leveret):
    def command(self) -> list[str]:
        file = write(
            self.directory,
            "auth_mechanisms = ['AMQPLAIN', 'PLAIN']\n"
            "[limits]\nframe_max = 4096\nchannel_max = 2\nheartbeat_s = 7\nmessage_bytes_max = 1000\n",
        )
        return [*super().command(), "--config", str(file)]


def test_limits_of_the_file_hold_on_the_wire() -> None:
    own = Small(management=False)
    try:
        own.start()
        with own.connect(heartbeat=None) as connection:
            impl = connection._impl
            tuned = impl.params
            assert (tuned.frame_max, tuned.channel_max, tuned.heartbeat) == (4096, 2, 7)
            channel = connection.channel()
            channel.confirm_delivery()
            channel.queue_declare("q")
            channel.basic_publish("", "q", bytes(1000))
            with pytest.raises(pika.exceptions.ChannelClosedByBroker) as refused:
                channel.basic_publish("", "q", bytes(1001))
            assert refused.value.reply_text == (
                "PRECONDITION_FAILED - message size 1001 is larger than configured max size 1000"
            )
    finally:
        own.remove()


def row(setting: Setting) -> str:
    """The setting's row in the manual."""
    default = setting.default
    shown = (
        ""
        if default is None
        else ", ".join(default)
        if isinstance(default, tuple)
        else str(default).lower()
        if isinstance(default, bool)
        else f"{default:g}"
        if isinstance(default, float)
        else f"{default}"
    )
    return f"| `{setting.key}` | `{setting.variable}` | {shown} | {setting.about.unit} | {setting.about.meaning} |"


def test_the_manual_lists_every_setting_as_it_is() -> None:
    rows = [line for line in MANUAL.read_text().splitlines() if line.startswith("| `")]
    assert rows == [row(setting) for setting in SETTINGS.values()]
