"""Where a fault is done: one router on one node of a lab, and what is in reach there."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from havrrpd.lab.keepalived import HA_CONFS, LEVER_DIR, NOTIFY_DIR, Keepalived, configuration
from havrrpd.lab.lab import Lab
from havrrpd.lab.node import Node
from havrrpd.lab.process import Process, send
from havrrpd.lab.router import Router
from havrrpd.lab.waiting import LabError, wait_until


@dataclass(slots=True)
class Place:
    """All times are monotonic. What havrrpd says is expected from `began` on; what must not happen
    is looked for from `judged` until `ended`, or until all is right again.

    `look` returns when whoever watches has looked at every node once more.
    """

    lab: Lab
    name: str
    number: int = 1
    look: Callable[[], None] = lambda: None
    judged: float = field(default_factory=time.monotonic)
    began: float = field(default_factory=time.monotonic)
    ended: float = float("inf")

    def begins(self) -> None:
        """The fault is done now: what came before are its preliminaries."""
        self.began = time.monotonic()

    def prepared(self) -> None:
        """What came before was no fault."""
        self.look()
        self.judged = self.began = time.monotonic()

    def ends(self) -> None:
        """What comes now is no fault any more, and not to be judged."""
        self.ended = time.monotonic()

    @property
    def node(self) -> Node:
        return self.lab.node(self.name)

    @property
    def router(self) -> Router:
        return self.lab.routers[self.number - 1]

    @property
    def keepalived(self) -> Keepalived:
        return self.lab.keepalived[self.name, self.number]

    @property
    def havrrpd(self) -> Process:
        return self.lab.havrrpd[self.name]

    @property
    def fifo(self) -> Path:
        return self.node.path(f"{NOTIFY_DIR}/{self.router.id}")

    @property
    def lever(self) -> Path:
        return self.node.path(f"{LEVER_DIR}/{self.router.id}")

    @property
    def conf(self) -> Path:
        return self.node.path(f"{HA_CONFS}/{self.router.id}/keepalived.conf")

    @property
    def instance(self) -> str:
        return f"VR_{self.router.vrid}"

    @property
    def configured(self) -> str:
        """keepalived.conf as the lab writes it."""
        return configuration(self.router, self.name, self.lab.plan.vrrp)

    def inside(self, script: str) -> None:
        """Run a shell script in the router's namespace."""
        self.node.shell(
            f"ip netns exec {self.router.namespace} sh -eu <<'INSIDE'\n{script}\nINSIDE"
        )

    def shown(self) -> dict[str, Any]:
        """What havrrpd says of the router."""
        return self.node.status(self.router.id)

    def order(self, *words: str) -> None:
        """A command of havrrpd's, on the node; LabError when it fails."""
        self.node.exec([sys.executable, "-m", "havrrpd", *words])

    def refusal(self, *words: str) -> str:
        """What a command says that must fail."""
        try:
            self.order(*words)
        except LabError as error:
            return str(error)
        raise AssertionError(f"havrrpd {' '.join(words)} was not refused")

    def doctor(self) -> str:
        """All that `havrrpd doctor` finds on the node."""
        return self.node.shell(f"{sys.executable} -m havrrpd doctor -o json || true")

    def wait_moved(self) -> None:
        """Until another node holds the router's address."""
        wait_until(lambda: self.lab.holders(self.number) not in ([], [self.name]), 10.0, "it moved")

    # --- keepalived ---

    def child(self) -> int:
        pid = self.keepalived.vrrp_pid
        if pid is None:
            raise LabError(f"keepalived on {self.name} has no child")
        return pid

    def send_child(self, number: signal.Signals) -> None:
        send(self.child(), number)

    def wait_between_adverts(self) -> None:
        """Until another node heard the last advert of this one half an interval ago."""
        other = next(name for name in self.lab.names if name != self.name)

        def between() -> bool:
            (instance,) = self.lab.node(other).status(self.router.id)["instances"]
            ago = [heard["last_heard_seconds"] for heard in instance["masters_heard"]]
            return bool(ago) and 0.4 < min(ago) / self.lab.plan.advert_int < 0.8

        wait_until(between, 5.0, f"half an interval between two adverts of {self.name}")

    def start_keepalived(self) -> None:
        self.lab.start_keepalived(self.name, self.number)

    def configure(self, text: str) -> None:
        """keepalived with another configuration."""
        self.conf.write_text(text)
        self.reload()

    def reload(self) -> None:
        """SIGHUP; one that comes before the last one was served is lost (2.2.7)."""
        before = self._reloads()
        self.keepalived.reload()
        wait_until(lambda: self._reloads() > before, 5.0, f"a reload on {self.name}")

    def _reloads(self) -> int:
        return self.keepalived.process.log.read_text(errors="replace").count("Reload complete")

    # --- the router's ports ---

    def lay_ha_port(self) -> None:
        """The HA port as it was, where it is gone."""
        port = self.router.ports(self._number)[0]
        tap = f"tap{port.interface[3:]}"
        self.node.shell(f"""
ip link add {tap} mtu {port.mtu} type veth \\
    peer name {port.interface} mtu {port.mtu} address {port.mac} netns {self.router.namespace}
ip link set {tap} master {port.bridge} up
ip -n {self.router.namespace} link set {port.interface} up
ip -n {self.router.namespace} address add {self.ha_address} dev {port.interface}
""")

    @property
    def ha_address(self) -> str:
        return self.router.ha_address(self._number)

    @property
    def ha_tap(self) -> str:
        """The node's end of the HA port."""
        return f"tap{self.router.ha[3:]}"

    @property
    def ha_bridge(self) -> str:
        return self.router.segments[0].bridge

    @property
    def _number(self) -> int:
        return self.lab.names.index(self.name) + 1

    def wait_tap_gone(self) -> None:
        """The kernel takes a namespace down after its last user is gone."""

        def gone() -> bool:
            return self.ha_tap not in self.node.exec(["ip", "-brief", "link"])

        wait_until(gone, 10.0, f"the end of {self.router.namespace}")


def inner_pid(pid: int) -> int:
    """A process's pid as its own node counts."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("NSpid:"))
    return int(line.split()[-1])
