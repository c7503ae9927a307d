"""What is at work in the broker's process besides the broker: its memory (cli/remembering), and the dashboard on the management port.

The server knows neither, and the dashboard knows no server. Made by cli/broker.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from leveret.cli.overhearing import Overhearing
from leveret.cli.remembering import Remembering
from leveret.dashboard.embedded import Embedded
from leveret.management.api import Api
from leveret.management.app import Guest
from leveret.server.config import Config
from leveret.server.http import Mount
from leveret.server.run import Beside
from leveret.server.server import Server

ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}


class Company:
    def __init__(self, config: Config) -> None:
        self._dashboard: Embedded | None = None
        self._api: Api | None = None
        shown = config.dashboard.enabled and config.management.enabled
        self.beside: Final[list[Beside]] = [self._joined] if shown or config.history.enabled else []
        self.mount: Final[Mount | None] = self._mounted if shown else None

    def _mounted(self, server: Server, api: Api) -> Guest:
        self._api = api
        self._dashboard = Embedded(api, lambda user, password, vhost: address(server, user, password, vhost))
        return self._dashboard

    def _joined(self, server: Server) -> Overhearing:
        """Called once the dashboard is made, and before it is started."""
        heard = Remembering(server) if server.config.history.enabled else Overhearing(server)
        if self._dashboard is not None:
            heard.hearers.append(self._dashboard.hear)
            if isinstance(heard, Remembering):
                self._dashboard.remember(heard.history)
        if self._api is not None and isinstance(heard, Remembering):
            self._api.remember = heard.history.task
        return heard


def address(server: Server, user: str, password: str, vhost: str) -> str:
    """The broker's own for AMQP, by whatever it listens on."""
    config = server.config
    who = f"{quote(user, safe='')}:{quote(password, safe='')}"
    named = quote(vhost, safe="")
    if config.tcp or config.socket is None:
        host = ANYWHERE.get(config.host, config.host)
        place = f"[{host}]" if ":" in host else host
        if config.tcp:
            return f"amqp://{who}@{place}:{server.port}/{named}"
        return f"amqps://{who}@{place}:{server.tls_port}/{named}?verify=0"  # it is ourselves
    return f"amqp+unix://{who}@{quote(str(config.socket))}?vhost={named}"
