"""A node full of routers: real namespaces, links, addresses, adverts and FIFOs, and havrrpd.

In place of each keepalived stands a process that only looks like it: what it would do is done by
the crowd, in the kernel, on the wire and in the FIFO. Everything is in one node of the lab.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from havrrpd.lab import daemon
from havrrpd.lab.client import get
from havrrpd.lab.keepalived import LEVER_DIR, NOTIFY_DIR
from havrrpd.lab.node import Node
from havrrpd.lab.plan import Plan
from havrrpd.lab.process import Process, children
from havrrpd.lab.waiting import LabError, wait_until
from tests.bench.crowd import Member

SOURCE = Path(__file__).parents[2]
ADVERT_INT = 2
PRIORITY = 150
HAVRRPD_CPU = 0
END_LIMIT = 120.0  # seconds: thousands of processes
FIND_LIMIT = 60.0  # seconds; what it must reach is measured, not enforced here


@dataclass(frozen=True, slots=True)
class Crowded:
    """Router `number` of a load, and everything that is its own."""

    number: int
    floating: int

    @property
    def id(self) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"havrrpd:load:{self.number}"))

    @property
    def namespace(self) -> str:
        return f"qrouter-{self.id}"

    @property
    def ha(self) -> str:
        return f"ha-{self.id[:11]}"

    @property
    def qg(self) -> str:
        return f"qg-{self.id[:11]}"

    @property
    def outside(self) -> str:
        """The other end of the external cable, where the gateways are."""
        return f"g{self.number}"

    @property
    def vrid(self) -> int:
        return 1 + self.number % 255

    @property
    def gateways(self) -> tuple[str, str]:
        """At the other end of its own cable: nobody else hears what it asks."""
        return f"{self._outside(1)}/30", f"{self._outside6(1)}/64"

    @property
    def addresses(self) -> list[tuple[str, str]]:
        """All that the MASTER has, with their interfaces; the VRRP address is the first."""
        floating = (
            str(IPv4Address("172.16.0.0") + self.number * 512 + each)
            for each in range(self.floating)
        )
        return [
            (f"169.254.0.{self.vrid}/24", self.ha),
            (f"{self._outside(2)}/30", self.qg),
            (f"{self._outside6(2)}/64", self.qg),
            *((f"{address}/32", self.qg) for address in floating),
        ]

    def member(self) -> Member:
        return Member(
            netns=f"/run/netns/{self.namespace}",
            instance=f"VR_{self.vrid}",
            vrid=self.vrid,
            priority=PRIORITY,
            advert_int=ADVERT_INT,
            ha=self.ha,
            ha_address=str(IPv4Address("169.254.192.1") + self.number),
            peer_cable=f"h{self.number}",
            peer_address=str(IPv4Address("169.254.224.1") + self.number),
            fifo=f"{NOTIFY_DIR}/{self.id}",
            addresses=self.addresses,
        )

    def configuration(self) -> str:
        """keepalived.conf."""
        vrrp, *excluded = self.addresses
        lines = "".join(f"        {address} dev {at} no_track\n" for address, at in excluded)
        routes = "".join(
            f"        {to} via {via.split('/')[0]} dev {self.qg} no_track\n"
            for to, via in zip(("0.0.0.0/0", "::/0"), self.gateways, strict=True)
        )
        return f"""global_defs {{
    vrrp_notify_fifo {NOTIFY_DIR}/{self.id} root
}}
track_file havrrpd {{
    file {LEVER_DIR}/{self.id}
    weight 1
    init_file 0
}}
vrrp_instance VR_{self.vrid} {{
    state BACKUP
    interface {self.ha}
    virtual_router_id {self.vrid}
    priority {PRIORITY}
    nopreempt
    advert_int {ADVERT_INT}
    track_file {{
        havrrpd
    }}
    virtual_ipaddress {{
        {vrrp[0]} dev {self.ha}
    }}
    virtual_ipaddress_excluded {{
{lines}    }}
    virtual_routes {{
{routes}    }}
}}
"""

    def standin(self) -> dict[str, str]:
        member = self.member()
        return {"netns": member.netns, "conf": self.configuration(), "fifo": member.fifo}

    def links(self) -> list[str]:
        """Lines of an `ip -batch`.

        Both ends of a router's outside know each other for good: of what it learns, the kernel's
        neighbour tables hold 1024 entries for the whole machine. A real node raises gc_thresh3.
        """
        outside, inside = self.outside, self.qg
        return [
            f"netns add {self.namespace}",
            f"link add h{self.number} type veth peer name {self.ha} netns {self.namespace}",
            f"link add {outside} address {self._mac(0x3F)} type veth"
            f" peer name {inside} address {self._mac(0x3E)} netns {self.namespace}",
            *(f"address add {each} dev {outside} nodad" for each in self.gateways),
            f"link set h{self.number} up",
            f"link set {outside} up",
            *(
                f"neighbour add {each} lladdr {self._mac(0x3E)} dev {outside}"
                for each in (self._outside(2), self._outside6(2))
            ),
        ]

    def inside(self) -> list[str]:
        """Likewise, in its namespace."""
        return [
            "link set lo up",
            f"link set {self.ha} up",
            f"link set {self.qg} up",
            f"address add {self.member().ha_address}/18 dev {self.ha}",
            *(
                f"neighbour add {each} lladdr {self._mac(0x3F)} dev {self.qg}"
                for each in (self._outside(1), self._outside6(1))
            ),
        ]

    def _mac(self, side: int) -> str:
        return bytes((0xFA, 0x16, side, *self.number.to_bytes(3))).hex(":")

    def _outside(self, host: int) -> IPv4Address:
        return IPv4Address("10.0.0.0") + 4 * self.number + host

    def _outside6(self, host: int) -> IPv6Address:
        return IPv6Address("fd00::") + (self.number << 64) + host


class Load:
    """A context manager: the routers are there and BACKUP; `start_havrrpd` begins to watch them."""

    def __init__(self, count: int, floating: int = 0, many: int | None = None) -> None:
        """`floating` addresses more each; the first router `many`."""
        self.routers = [Crowded(number, floating) for number in range(count)]
        if many is not None:
            self.routers[0] = Crowded(0, many)
        self._logs = Path(tempfile.mkdtemp(prefix="havrrpd-load-"))

    def __enter__(self) -> Self:
        self.node = Node("crowd", self._logs)
        try:
            self._lay_cables()
            self._start_standins()
            self._crowd = self._start_crowd()
        except BaseException:
            self.node.kill(END_LIMIT)
            self._keep_logs()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._crowd.terminate()
        self.node.kill(END_LIMIT)
        self._crowd.communicate()
        if kind is None:
            shutil.rmtree(self._logs)
        else:
            self._keep_logs()

    def _keep_logs(self) -> None:
        print(f"the logs are in {self._logs}", file=sys.stderr)

    # --- havrrpd ---

    def start_havrrpd(self, interval: float = 0.0, more: str = "") -> Process:
        """`interval` of the gateway checks; 0: none. `more` is appended to its configuration."""
        plan = Plan(health_interval=interval, havrrpd_config=more)
        self.havrrpd = daemon.start(self.node, plan)
        os.sched_setaffinity(self.havrrpd.pid, {HAVRRPD_CPU})
        return self.havrrpd

    def stop_havrrpd(self) -> None:
        self.havrrpd.signal(signal.SIGTERM)
        self.havrrpd.wait(10.0)

    def wait_right(self, masters: int, limit: float = FIND_LIMIT) -> float:
        """Until the first so many routers are MASTER and the others BACKUP; the wall clock then."""

        def right() -> bool:
            if wrong := self.wrong(masters):
                raise LabError(f"{len(wrong)} of {len(self.routers)} are wrong: {wrong[:3]}")
            return True

        wait_until(right, limit, "every state is right", every=0.5)
        return time.time()

    def wrong(self, masters: int) -> list[str]:
        """What /status says that is not so."""
        shown = {router["router"]: router for router in self.node.status(timeout=10.0)["routers"]}
        found = []
        for router in self.routers:
            state = "MASTER" if router.number < masters else "BACKUP"
            seen = shown.get(router.id, {"state": "nothing", "problems": [], "instances": []})
            problems = [*seen["problems"], *(p for i in seen["instances"] for p in i["problems"])]
            if seen["state"] != state or problems:
                found.append(f"{router.number} is {seen['state']} {problems}, not {state}")
        return found

    def metrics(self) -> str:
        return get(self.node.path("/run/havrrpd/havrrpd.sock"), "/metrics", 10.0).decode()

    def transitions(self) -> list[int]:
        """How many each router made, but for the first one: to the state it was found in."""
        shown = self.node.status(timeout=10.0)["routers"]
        return [router["instances"][0]["transitions"] - 1 for router in shown]

    def counter(self, name: str) -> float:
        """The sum over all its series."""
        lines = self.metrics().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name))

    # --- the crowd ---

    def order(self, what: str, members: Iterable[int], within: float = 0.0) -> dict[str, float]:
        """When it was begun and done, by the wall clock."""
        order = {"order": what, "members": list(members), "within": within}
        times: dict[str, float] = self._say(json.dumps(order))
        return times

    def _say(self, line: str) -> Any:
        assert self._crowd.stdin is not None
        assert self._crowd.stdout is not None
        self._crowd.stdin.write(line + "\n")
        self._crowd.stdin.flush()
        answer = self._crowd.stdout.readline()
        if not answer:
            raise LabError(f"the crowd has ended, see {self._logs}")
        return answer if answer == "ready\n" else json.loads(answer)

    def _start_crowd(self) -> subprocess.Popen[str]:
        with (self._logs / "crowd.log").open("wb") as log:
            self._crowd = subprocess.Popen(
                self.node.enter([sys.executable, "-m", "tests.bench.crowd"]),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "PYTHONPATH": str(SOURCE)},
            )
        self._say(json.dumps([asdict(router.member()) for router in self.routers]))
        return self._crowd

    # --- building ---

    def _lay_cables(self) -> None:
        daemon.prepare(self.node, (router.id for router in self.routers))
        for router in self.routers:
            self.node.path(f"{LEVER_DIR}/{router.id}").write_text("0\n")
        lines = [line for router in self.routers for line in router.links()]
        self.node.exec(["ip", "-batch", "-"], stdin="\n".join(lines) + "\n")
        script = "".join(
            f"ip -n {router.namespace} -batch - <<END\n" + "\n".join(router.inside()) + "\nEND\n"
            for router in self.routers
        )
        self.node.shell(script)
        for router in self.routers:
            self._put_gateways_elsewhere(router)

    def _put_gateways_elsewhere(self, router: Crowded) -> None:
        """On a real network they are other machines: here they answer on the other CPUs."""
        others = ((1 << (os.cpu_count() or 1)) - 1) & ~(1 << HAVRRPD_CPU)  # a mask, cpu by cpu
        steering = f"/sys/class/net/{router.outside}/queues/rx-0/rps_cpus"
        self.node.path(steering).write_text(f"{others:x}\n")

    def _start_standins(self) -> None:
        program = self.node.path("/run/keepalived")
        shutil.copy(Path(sys.executable).resolve(), program)
        lines = "".join(json.dumps(router.standin()) + "\n" for router in self.routers)
        self.node.path("/run/standins").write_text(lines)
        code = SOURCE / "tests" / "bench" / "standins.py"
        started = self.node.start(
            ["sh", "-c", f"exec /run/keepalived -S {code} < /run/standins"], log="standins.log"
        )
        wait_until(lambda: "ready" in started.log.read_text(), 120.0, f"see {started.log}")


def vrrp_processes(parent: Process) -> Sequence[int]:
    """Of the stand-ins: main processes, and below each its VRRP process."""
    return [child for main in children(parent.pid) for child in children(main)]
