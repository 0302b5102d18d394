"""The lab: the architecture that havrrpd serves, whole, on one machine, with real keepalived."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from havrrpd.lab import daemon, instance, keepalived, overlay, prometheus
from havrrpd.lab.keepalived import Keepalived
from havrrpd.lab.network import (
    UPSTREAM,
    Network,
    connect,
    connect_upstream,
    make_switch,
    plug,
    start_late_switch,
    unplug,
)
from havrrpd.lab.node import Node
from havrrpd.lab.overlay import Segment
from havrrpd.lab.plan import Plan
from havrrpd.lab.process import Process
from havrrpd.lab.project import routers_of
from havrrpd.lab.router import Router, make_script, make_script_without_ha, router_without_ha
from havrrpd.lab.waiting import LabError

COMPUTE, MONITOR, SWITCH = "compute1", "prometheus", "switch"
_COMPUTE_NUMBER, _MONITOR_NUMBER = 100, 250  # network nodes have 1 to 63

Say = Callable[[str], None]


def _nothing() -> None:
    pass


class Lab:
    """A context manager: up on entry, and nothing of it left after exit, or after its kill -9.

    Made from a Plan, or from keywords that say what differs from the default one. `keep_logs`
    leaves the logs of the processes at `logs` when the lab ends by an exception. `store` makes one
    that stays after its process, and `opened` finds it again.
    """

    def __init__(
        self, plan: Plan | None = None, *, keep_logs: bool = False, **differs: Any
    ) -> None:
        self.plan = Plan(**differs) if plan is None else plan
        self.names = self.plan.names
        self.routers = routers_of(self.plan.routers, self.plan.projects)
        self.nodes: dict[str, Node] = {}  # the network nodes
        self.others: dict[str, Node] = {}  # the switch, the upstream gateway, compute, monitor
        self.keepalived: dict[tuple[str, int], Keepalived] = {}  # by node and router number
        self.havrrpd: dict[str, Process] = {}
        self.remember: Callable[[], None] = _nothing  # called when other processes run than before
        self._keep_logs = keep_logs
        self._stack = contextlib.ExitStack()

    # --- up and down ---

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.down(keep_logs=self._keep_logs and kind is not None)

    def up(self) -> None:
        """Build everything and start it; takes itself down again when that fails."""
        logs = Path(tempfile.mkdtemp(prefix="havrrpd-lab-"))
        self._janitor = _start_janitor(logs)
        self._stack.callback(_end_janitor, self._janitor)
        try:
            self.build(logs)
        except BaseException:
            self.down(keep_logs=self._keep_logs)
            raise

    def down(self, keep_logs: bool = False) -> None:
        """End every node with all that is in it. Does nothing the second time."""
        if keep_logs:
            self._janitor.kill()
        for node in (*self.nodes.values(), *self.others.values()):
            node.kill()
        self._stack.close()

    def build(self, logs: Path, say: Say = lambda line: None) -> None:
        """Make the nodes, from the switch outwards, and start what runs on them."""
        if os.geteuid() != 0:
            raise LabError("the lab needs root: it makes network namespaces")
        self.logs = logs
        say("the switch and the upstream gateway")
        self._build_middle()
        for number, name in enumerate(self.names, start=1):
            say(f"{name}, {len(self.routers)} routers on it")
            self._build_network_node(name, number)
        if self.plan.whole:
            say(f"{COMPUTE} with an instance, Prometheus")
            self._build_compute()
            self._build_monitor()
        if self._late:
            overlaid = (*self.names, *((COMPUTE,) if self.plan.whole else ()))
            start_late_switch(self.switch, self._late, overlaid, self.plan.delay)
        for name in self.names:
            say(f"havrrpd and keepalived on {name}")
            self._start_all(name)

    @property
    def switch(self) -> Node:
        return self.others[SWITCH]

    @property
    def _late(self) -> Network | None:
        return Network.OVERLAY if self.plan.delay else None

    def _build_middle(self) -> None:
        switch = self.others[SWITCH] = Node(SWITCH, self.logs)
        upstream = self.others[UPSTREAM] = Node(UPSTREAM, self.logs)
        make_switch(switch, self._late)
        routes = (
            (router.project_addresses[1].replace("::1/64", "::/64"), address.split("/")[0])
            for router in self.routers
            for address in router.provider_addresses[1:]
        )
        connect_upstream(switch, upstream, routes)

    def _build_network_node(self, name: str, number: int) -> None:
        node = self.nodes[name] = Node(name, self.logs)
        connect(self.switch, node, number, Network, self._late)
        routers = "".join(make_script(router, number) for router in self.routers)
        node.shell(self._overlay(self._segments(), number) + routers)
        if self.plan.whole and number == 1:
            unprotected = router_without_ha()
            segments = unprotected.segments[1:]
            node.shell(self._overlay(segments, number) + make_script_without_ha(unprotected))
        daemon.prepare(node, (router.id for router in self.routers) if self.plan.fifo else ())

    def _build_compute(self) -> None:
        node = self.others[COMPUTE] = Node(COMPUTE, self.logs)
        networks = (Network.MANAGEMENT, Network.OVERLAY)
        connect(self.switch, node, _COMPUTE_NUMBER, networks, self._late)
        segments = [overlay.project_segment(router.number) for router in self.routers]
        node.shell(self._overlay(segments, _COMPUTE_NUMBER) + instance.make_script(self.routers[0]))

    def _build_monitor(self) -> None:
        node = self.others[MONITOR] = Node(MONITOR, self.logs)
        connect(self.switch, node, _MONITOR_NUMBER, [Network.MANAGEMENT])
        prometheus.start(node, self.names, self.plan.rules)

    def _segments(self) -> list[Segment]:
        """Of all projects, each once."""
        return list(dict.fromkeys(each for router in self.routers for each in router.segments))

    def _overlay(self, segments: Iterable[Segment], own: int) -> str:
        numbers = [*range(1, len(self.names) + 1), *([_COMPUTE_NUMBER] if self.plan.whole else [])]
        return overlay.make_script(segments, own, (n for n in numbers if n != own))

    def _start_all(self, name: str) -> None:
        if self.plan.havrrpd:
            self.start_havrrpd(name)
        self.start_keepalived(name)

    # --- keepalived, of one router or of all routers of a node ---

    def start_keepalived(self, name: str, router: int | None = None) -> None:
        for item in self._chosen(router):
            started = keepalived.start(self.node(name), item, self.plan.vrrp)
            self.keepalived[name, item.number] = started
            self.remember()

    def stop_keepalived(self, name: str, router: int | None = None) -> None:
        """SIGTERM: a clean end, the role is given up."""
        for item in self._chosen(router):
            self.keepalived[name, item.number].stop()

    def kill_keepalived(self, name: str, router: int | None = None) -> None:
        """SIGKILL for the main process and its child: the addresses stay behind."""
        for item in self._chosen(router):
            self.keepalived[name, item.number].kill()

    def restart_keepalived(self, name: str) -> None:
        """Start what does not run."""
        for item in self.routers:
            if not self.keepalived[name, item.number].running:
                self.start_keepalived(name, item.number)

    # --- havrrpd ---

    def start_havrrpd(self, name: str) -> None:
        self.havrrpd[name] = daemon.start(self.node(name), self.plan)
        self.remember()

    def stop_havrrpd(self, name: str) -> None:
        self.havrrpd[name].signal(signal.SIGTERM)
        self.havrrpd[name].wait(10.0)

    def kill_havrrpd(self, name: str) -> None:
        self.havrrpd[name].signal(signal.SIGKILL)
        self.havrrpd[name].wait(10.0)

    def restart_havrrpd(self, name: str) -> None:
        """Start it if it does not run."""
        if not self.havrrpd[name].running:
            self.start_havrrpd(name)

    # --- what can break ---

    def break_gateway(self, name: str | None = None) -> None:
        """The gateway is lost for one node, whose provider cable is pulled, or for all."""
        self.unplug(Network.PROVIDER, name or UPSTREAM)

    def heal_gateway(self, name: str | None = None) -> None:
        self.plug(Network.PROVIDER, name or UPSTREAM)

    def unplug(self, network: Network, name: str) -> None:
        unplug(self.switch, network, name)

    def plug(self, network: Network, name: str) -> None:
        plug(self.switch, network, name)

    def kill_node(self, name: str) -> None:
        """The node dies, with all its processes and links."""
        self.node(name).kill()

    def rebuild_node(self, name: str, built: Callable[[], None] = _nothing) -> None:
        """A dead node comes back, empty as after a boot, and starts everything.

        `built` is called when it is there and nothing runs on it yet.
        """
        if self.node(name).alive:
            raise LabError(f"{name} is alive")
        self._build_network_node(name, self.names.index(name) + 1)
        built()
        self._start_all(name)

    # --- what is to be seen ---

    def node(self, name: str) -> Node:
        """A network node, by its name."""
        try:
            return self.nodes[name]
        except KeyError:
            raise LabError(f"no node {name}: there are {', '.join(self.names)}") from None

    def living(self, name: str) -> Node:
        """A network node; LabError when it is dead."""
        node = self.node(name)
        if not node.alive:
            raise LabError(f"{name} is dead: `havrrpd lab heal node {name}` brings it back")
        return node

    def any_node(self, name: str) -> Node:
        """Also the upstream gateway, the compute node and what is around them."""
        return self.others[name] if name in self.others else self.living(name)

    def addresses(self, name: str, router: int = 1) -> frozenset[str]:
        """The addresses in a router's namespace on a node, as the kernel shows them."""
        namespace = self.routers[router - 1].namespace
        lines = self.node(name).exec(["ip", "-n", namespace, "-oneline", "address", "show"])
        return frozenset(line.split()[3] for line in lines.splitlines())

    def holders(self, router: int = 1) -> list[str]:
        """The living nodes that hold the router's VRRP address: one, when all is well."""
        address = self.routers[router - 1].virtual_address
        living = (name for name in self.names if self.nodes[name].alive)
        return [name for name in living if address in self.addresses(name, router)]

    def _chosen(self, router: int | None) -> tuple[Router, ...]:
        return self.routers if router is None else (self.routers[router - 1],)


def _start_janitor(directory: Path) -> subprocess.Popen[bytes]:
    """Removes the directory when the lab is gone, however it went: then its pipe closes."""
    return subprocess.Popen(
        ["sh", "-c", 'cat; exec rm -rf "$1"', "sh", str(directory)],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )


def _end_janitor(janitor: subprocess.Popen[bytes]) -> None:
    with janitor:  # closes its pipe and waits
        pass
