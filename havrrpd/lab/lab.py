"""The lab: nodes with real keepalived and havrrpd, on networks of their own, on one machine."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from havrrpd.lab import daemon, keepalived
from havrrpd.lab.keepalived import Keepalived, Vrrp
from havrrpd.lab.network import (
    UPSTREAM,
    Network,
    connect,
    connect_upstream,
    make_bridges,
    make_switch,
    plug,
    slow_down,
    unplug,
)
from havrrpd.lab.node import Node
from havrrpd.lab.process import Process
from havrrpd.lab.router import Router, make_script
from havrrpd.lab.waiting import LabError


class Lab:
    """A context manager: up on entry, and nothing of it left after exit, or after its kill -9.

    `priorities` gives single nodes another base priority. With `havrrpd=False` only keepalived
    is started. `health_check` has more keys of that table, `havrrpd_config` is appended to each
    node's havrrpd.toml. `fifo` and `lever` say whether keepalived.conf has the stanza for havrrpd,
    `unlevered` names nodes that have no lever in any case, `check_script` says whether there is a
    script that checks the gateway. `delay` is one-way, in seconds, on the HA network. `keep_logs`
    leaves the logs of the processes at `logs` when the lab ends by an exception.
    """

    def __init__(
        self,
        nodes: int = 3,
        routers: int = 1,
        base_priority: int = 150,
        advert_int: float = 1,
        *,
        version: int = 2,
        nopreempt: bool = True,
        priorities: Mapping[str, int] | None = None,
        fifo: bool = True,
        lever: bool = True,
        unlevered: Iterable[str] = (),
        check_script: bool = False,
        delay: float = 0.0,
        havrrpd: bool = True,
        health_interval: float = 1.0,
        health_check: Mapping[str, float] | None = None,
        havrrpd_config: str = "",
        keep_logs: bool = False,
    ) -> None:
        self.names = tuple(f"network{number}" for number in range(1, nodes + 1))
        self.routers = tuple(Router(number) for number in range(1, routers + 1))
        self.vrrp = Vrrp(
            base_priority=base_priority,
            priorities=priorities or {},
            advert_int=advert_int,
            version=version,
            nopreempt=nopreempt,
            fifo=fifo,
            lever=lever,
            unlevered=frozenset(unlevered),
            check_script=check_script,
        )
        self.nodes: dict[str, Node] = {}
        self.keepalived: dict[tuple[str, int], Keepalived] = {}  # by node and router number
        self.havrrpd: dict[str, Process] = {}
        self._with_havrrpd = havrrpd
        self._delay = delay
        self._health_check = {"interval": health_interval, **(health_check or {})}
        self._havrrpd_config = havrrpd_config
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
        if os.geteuid() != 0:
            raise LabError("the lab needs root: it makes network namespaces")
        try:
            self._build()
            self._start()
        except BaseException:
            self.down(keep_logs=self._keep_logs)
            raise

    def down(self, keep_logs: bool = False) -> None:
        """End every node with all that is in it. Does nothing the second time."""
        if keep_logs:
            self._janitor.kill()
        self._stack.close()

    def _build(self) -> None:
        self.logs = Path(tempfile.mkdtemp(prefix="havrrpd-lab-"))
        self._janitor = _start_janitor(self.logs)
        self._stack.callback(_end_janitor, self._janitor)
        self.switch = self._new_node("switch")
        self._upstream = self._new_node(UPSTREAM)
        make_switch(self.switch)
        connect_upstream(self.switch, self._upstream)
        for number, name in enumerate(self.names, start=1):
            node = self.nodes[name] = self._new_node(name)
            make_bridges(node)
            connect(self.switch, node)
            node.shell("".join(make_script(router, number) for router in self.routers))
            daemon.prepare(node, self.routers if self.vrrp.fifo else ())
        if self._delay:
            slow_down(self.switch, Network.HA, self.names, self._delay)

    def _new_node(self, name: str) -> Node:
        node = Node(name, self.logs)
        self._stack.callback(node.kill)
        return node

    def _start(self) -> None:
        for name in self.names:
            if self._with_havrrpd:
                self.start_havrrpd(name)
            self.start_keepalived(name)

    # --- keepalived, of one router or of all routers of a node ---

    def start_keepalived(self, name: str, router: int | None = None) -> None:
        for item in self._chosen(router):
            started = keepalived.start(self.node(name), item, self.vrrp)
            self.keepalived[name, item.number] = started

    def stop_keepalived(self, name: str, router: int | None = None) -> None:
        """SIGTERM: a clean end, the role is given up."""
        for item in self._chosen(router):
            self.keepalived[name, item.number].stop()

    def kill_keepalived(self, name: str, router: int | None = None) -> None:
        """SIGKILL for the main process and its child: the addresses stay behind."""
        for item in self._chosen(router):
            self.keepalived[name, item.number].kill()

    # --- havrrpd ---

    def start_havrrpd(self, name: str) -> None:
        text = daemon.configuration(name, self._health_check, self._havrrpd_config)
        self.havrrpd[name] = daemon.start(self.node(name), text)

    def stop_havrrpd(self, name: str) -> None:
        self.havrrpd[name].signal(signal.SIGTERM)
        self.havrrpd[name].wait(10.0)

    def kill_havrrpd(self, name: str) -> None:
        self.havrrpd[name].signal(signal.SIGKILL)
        self.havrrpd[name].wait(10.0)

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
        """The node dies, with all its processes and links. It does not come back."""
        self.node(name).kill()

    # --- what is to be seen ---

    def node(self, name: str) -> Node:
        try:
            return self.nodes[name]
        except KeyError:
            raise LabError(f"no node {name}: there are {', '.join(self.names)}") from None

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
