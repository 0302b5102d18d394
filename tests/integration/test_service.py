"""havrrpd as a service: what it tells systemd, and that it is silent when it is deaf."""

from __future__ import annotations

import json
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from havrrpd.lab.lab import Lab
from havrrpd.lab.process import Process
from havrrpd.lab.waiting import wait_until

pytestmark = pytest.mark.root

NODE = "network1"
CONFIG = '[paths]\nsocket = "/run/s.sock"\nstate_dir = "/run/s"\n[web]\nlisten = "127.0.0.1:9913"\n'


class Service:
    """A havrrpd on a lab node whose NOTIFY_SOCKET the test holds."""

    def __init__(self, lab: Lab, channel: socket.socket, process: Process) -> None:
        self.lab = lab
        self.process = process
        self._channel = channel
        self._heard: list[str] = []

    def heard(self) -> list[str]:
        """Everything that it told so far."""
        while True:
            try:
                self._heard += self._channel.recv(4096).decode().splitlines()
            except BlockingIOError:
                return self._heard

    def wait_for(self, field: str, limit: float = 10.0) -> None:
        wait_until(lambda: field in self.heard(), limit, f"{field}, heard {self._heard}")

    def health(self) -> dict[str, object]:
        fetch = (
            "import urllib.request as r, urllib.error as e\n"
            "try: a = r.urlopen('http://127.0.0.1:9913/-/healthy')\n"
            "except e.HTTPError as error: a = error\n"
            "print(a.read().decode())"
        )
        said = self.lab.node(NODE).exec([sys.executable, "-c", fetch])
        health: dict[str, object] = json.loads(said)
        return health


@contextmanager
def service(*wrapper: str) -> Iterator[Service]:
    with Lab(nodes=1, havrrpd=False) as lab:
        node = lab.node(NODE)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.bind(str(node.path("/run/notify")))
            channel.setblocking(False)
            node.path("/run/s.toml").write_text(CONFIG)
            argv = [*wrapper, sys.executable, "-m", "havrrpd", "run", "--config", "/run/s.toml"]
            environment = {"NOTIFY_SOCKET": "/run/notify", "WATCHDOG_USEC": "1000000"}
            yield Service(lab, channel, node.start(argv, "service.log", environment))


def test_systemd_is_told_of_ready_reload_and_stop_and_fed_meanwhile() -> None:
    with service() as running:
        running.wait_for("READY=1")
        running.wait_for("WATCHDOG=1")
        running.process.signal(signal.SIGHUP)
        running.wait_for("RELOADING=1")
        wait_until(lambda: running.heard().count("READY=1") == 2, 5.0, "ready again")
        assert running.health() == {"healthy": True, "stalled": []}
        running.process.signal(signal.SIGTERM)
        running.wait_for("STOPPING=1")
        running.process.wait(5.0)


def test_a_deaf_source_starves_the_watchdog_and_is_named() -> None:
    deafen = ("setpriv", "--bounding-set", "-net_broadcast", "--inh-caps", "-net_broadcast")
    with service(*deafen) as deaf:
        deaf.wait_for("READY=1")
        wait_until(
            lambda: deaf.health() == {"healthy": False, "stalled": ["netlink"]}, 15.0, "unhealthy"
        )
        fed = deaf.heard().count("WATCHDOG=1")
        wait_until(
            lambda: deaf.process.log.read_text().count("sources.stalled") >= 3, 10.0, "three beats"
        )
        assert deaf.heard().count("WATCHDOG=1") == fed
