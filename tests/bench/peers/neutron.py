"""Neutron's monitors, versions of PyPI in a venv each, started for the routers of a load.

They are started inside the routers' namespaces as the L3 agent does, but with no root helper, which
29 would keep in memory (11 MB each), and with their output thrown away, where 29 stops as soon as
the pipe is full that the agent doesn't read. So the figures are better than in production.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from havrrpd.lab.node import Node
from havrrpd.lab.waiting import LabError, wait_until
from tests.bench.load import Crowded, Load
from tests.bench.peers.group import Group, Silence

ROOT = Path(os.environ.get("HAVRRPD_BENCH_PEERS") or Path.home() / ".cache" / "havrrpd-bench")
STATE_PATH = "/run/neutron"
AGENT_SOCKET = f"{STATE_PATH}/keepalived-state-change"
SYSTEM = "debian"  # what the machine has of itself: Debian 12's is 21.0.0
_HA_CONFS = f"{STATE_PATH}/ha_confs"
_PIDS = f"{STATE_PATH}/external/pids"
_MONITOR = "neutron-keepalived-state-change"
_WORDS = {True: "primary", False: "backup"}
_PATIENCE = 6.0  # seconds; curl's limit to connect is 5
_LIMIT = 180.0


class NotInstalledError(Exception):
    """A peer can't be had here; says why."""


@dataclass(frozen=True, slots=True)
class Peer:
    """`version` is PyPI's, or SYSTEM. `most`: with more routers it isn't tried.

    `needs`: commands that it runs.
    """

    version: str
    most: int
    needs: tuple[str, ...] = ("ip",)
    dependencies: bool = True  # else only the package itself: its monitor is a shell script

    @property
    def name(self) -> str:
        return "Debian's neutron" if self.version == SYSTEM else f"neutron {self.version}"


PEERS = (
    Peer(SYSTEM, most=50),
    Peer("28.0.2", most=50),
    Peer("29.0.0", most=250, needs=("ip", "curl", "awk", "ps"), dependencies=False),
)


def install(peer: Peer) -> Path:
    """Install it unless it is there; returns its monitor, or raises NotInstalledError."""
    for command in peer.needs:
        if not shutil.which(command):
            raise NotInstalledError(f"it needs the command {command}")
    if peer.version == SYSTEM:
        return _found()
    venv = ROOT / f"neutron-{peer.version}"
    monitor = venv / "bin" / _MONITOR
    if not monitor.exists():
        alone = [] if peer.dependencies else ["--no-deps"]
        pip = [str(venv / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
        _run([sys.executable, "-m", "venv", str(venv)])
        _run([*pip, *alone, f"neutron=={peer.version}"])
    if not monitor.exists():
        raise NotInstalledError(f"the package has no {_MONITOR}")
    return monitor


def _found() -> Path:
    path = shutil.which(_MONITOR)
    if path is None:
        raise NotInstalledError(f"there is no {_MONITOR} on this machine")
    return Path(path)


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotInstalledError((done.stderr.strip().splitlines() or ["?"])[-1])


class Monitors:
    """Those of all routers of a load, in one group."""

    def __init__(self, monitor: Path, load: Load, group: Group) -> None:
        self._monitor, self._node, self._group = monitor, load.node, group
        self._routers = load.routers
        ha_confs = load.node.path(_HA_CONFS)
        self._files = [ha_confs / router.id / "state" for router in load.routers]
        for file in self._files:
            file.parent.mkdir(parents=True)
        load.node.path(_PIDS).mkdir(parents=True)

    def start(self) -> None:
        """All at once; none of them need be ready when it returns."""
        lines = (
            f"({self._group.join}; exec {shlex.join(_command(self._monitor, router))})"
            " < /dev/null > /dev/null 2>&1 &\n"
            for router in self._routers
        )
        self._node.shell("".join(lines))

    def state(self, number: int) -> str:
        """What the state file says; empty: not there yet, or just being written."""
        try:
            return self._files[number].read_text()
        except FileNotFoundError:
            return ""

    def wrong(self, masters: int) -> list[int]:
        """Whose state file says something else, where the first so many are MASTER."""
        return [
            router.number
            for router in self._routers
            if self.state(router.number) != _WORDS[router.number < masters]
        ]

    def wait_right(self, masters: int) -> None:
        """Raises LabError when some never get right."""
        if wrong := self.settle(masters):
            raise LabError(f"{len(wrong)} of {len(self._routers)} state files never got right")

    def settle(self, masters: int) -> list[int]:
        """Wait until all are right, or until they have done nothing for long; returns the wrong."""
        silence = Silence(self._group)
        wrong: list[int] = []

        def settled() -> bool:
            nonlocal wrong
            wrong = self.wrong(masters)
            return not wrong or silence.seconds() > _PATIENCE

        wait_until(settled, _LIMIT, "all state files are right, or rest", every=0.1)
        return wrong

    def last_written(self) -> float:
        """By the wall clock, when the last state file was written."""
        return max(file.stat().st_mtime for file in self._files)


def wait_silent(group: Group, seconds: float) -> None:
    """Until it has done nothing for so long."""
    silence = Silence(group)
    wait_until(lambda: silence.seconds() > seconds, _LIMIT, "the monitors rest", every=0.1)


def netlink_drops(node: Node, namespace: str) -> int:
    """How many messages the sockets there have missed, proc_net_netlink: the 9th column."""
    table = node.exec(["ip", "netns", "exec", namespace, "cat", "/proc/net/netlink"])
    return sum(int(line.split()[8]) for line in table.splitlines()[1:])


def _command(monitor: Path, router: Crowded) -> list[str]:
    conf_dir = f"{_HA_CONFS}/{router.id}"
    address, interface = router.addresses[0]
    options = {
        "router_id": router.id,
        "namespace": router.namespace,
        "conf_dir": conf_dir,
        "log-file": f"{conf_dir}/{_MONITOR}.log",
        "monitor_interface": interface,
        "monitor_cidr": address,
        "pid_file": f"{_PIDS}/{router.id}.monitor.pid",
        "state_path": STATE_PATH,
        "user": str(os.geteuid()),
        "group": str(os.getegid()),
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    return ["ip", "netns", "exec", router.namespace, str(monitor), *words]
