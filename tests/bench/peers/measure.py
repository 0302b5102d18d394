"""What one of Neutron's monitors takes for as many routers, as tests/bench/scale.py does it."""

from __future__ import annotations

import signal
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from havrrpd.lab.waiting import LabError, wait_until
from tests.bench.figure import Figure
from tests.bench.load import Load
from tests.bench.peers.address import Address
from tests.bench.peers.agent import LONG_BACKLOG, OWN_BACKLOG, Agent
from tests.bench.peers.group import Group
from tests.bench.peers.neutron import (
    AGENT_SOCKET,
    STATE_PATH,
    Monitors,
    NotInstalledError,
    Peer,
    install,
    netlink_drops,
    wait_silent,
)
from tests.bench.scale import IDLE_SECONDS, LATENCIES, MANY_ADDRESSES, STORM_WITHIN

STORMS = 3
OVERRUN_ROUTERS = 3  # for each of two questions
FLAPS = 10_000  # 20000 messages; the largest of the buffers takes about 3000
SPIN_LIMIT = 5.0


@dataclass(frozen=True, slots=True)
class Running:
    """A load, with a monitor for each of its routers that is to be started."""

    load: Load
    group: Group
    monitors: Monitors

    @property
    def count(self) -> int:
        return len(self.load.routers)

    def agent(self, backlog: int) -> Agent:
        return Agent(self.load.node.path(AGENT_SOCKET), backlog)


Row = tuple[str, float | None, str, str]  # a figure but for the peer and its routers


def measure(peer: Peer, routers: int) -> Iterator[Figure]:
    """The figures that depend on the number of routers; without a value where it can't be had."""
    if routers > peer.most:
        note = f"not tried with more than {peer.most} routers"
        yield Figure(peer.name, routers, "all", None, note=note)
    else:
        yield from _measured(peer, routers, resting_and_storms)


def measure_few(peer: Peer) -> Iterator[Figure]:
    """The other figures, with as many routers as they need."""
    yield from _measured(peer, 1, many_addresses)
    yield from _measured(peer, 2 * OVERRUN_ROUTERS, overrun)


def _measured(
    peer: Peer, routers: int, part: Callable[[Path, int], Iterator[Row]]
) -> Iterator[Figure]:
    try:
        for row in part(install(peer), routers):
            yield Figure(peer.name, routers, *row)
    except NotInstalledError as error:
        yield Figure(peer.name, routers, "all", None, note=f"not installed: {error}")
    except LabError as error:
        yield Figure(peer.name, routers, _words(part), None, note=f"failed: {error}")


def _words(part: Callable[[Path, int], Iterator[Row]]) -> str:
    return part.__name__.replace("_", " ")


@contextmanager
def _running(monitor: Path, count: int, floating: int = 0) -> Iterator[Running]:
    with Group() as group, Load(count, floating) as load:
        load.node.path(STATE_PATH).mkdir()
        yield Running(load, group, Monitors(monitor, load, group))


# --- all routers ---


def resting_and_storms(monitor: Path, count: int) -> Iterator[Row]:
    """With one start of the monitors, which takes minutes; the storm that can kill them is last."""
    with _running(monitor, count) as running:
        with running.agent(LONG_BACKLOG) as agent:
            yield from _start(running)
            yield from _latency(running, agent)
            running.load.order("backup", range(count // 2))
            running.monitors.wait_right(0)
            yield from _storms(running, agent, "storm, an agent with a long queue")
        with running.agent(OWN_BACKLOG) as agent:
            yield from _storms(running, agent, "storm")


def _start(running: Running) -> Iterator[Row]:
    """Half of them MASTER: start, memory, idle CPU."""
    count, group = running.count, running.group
    masters = count // 2
    running.load.order("master", range(masters))
    began = time.time()
    running.monitors.start()
    running.monitors.wait_right(masters)
    yield "start until all states are right", running.monitors.last_written() - began, "s", ""
    wait_silent(group, 1.0)
    cpu, memory = group.cpu(), group.pss()
    yield "CPU to start", cpu, "s", ""
    yield "CPU to start, a router", cpu / count, "s", ""
    processes = len(group.pids())
    yield "processes", processes, "", ""
    yield "memory (PSS)", memory, "MB", ""
    yield "memory (PSS), a router", memory / count, "MB", ""
    yield "idle CPU, of one core", 100 * group.cpu_share(IDLE_SECONDS), "%", ""


def _latency(running: Running, agent: Agent) -> Iterator[Row]:
    """The virtual address of a router comes and goes; its state file is read without a pause."""
    router = running.load.routers[-1]
    written, told = [], []
    with closing(
        Address(running.load.node, router.namespace, *router.addresses[0])
    ) as virtual_address:
        cpu = running.group.cpu()
        for _ in range(LATENCIES):
            began = virtual_address.add()
            written.append((_wait_written(running, router.number, "primary") - began) * 1000)
            told.append((_wait_told(agent, router.id, "primary") - began) * 1000)
            virtual_address.remove()
            _wait_written(running, router.number, "backup")
            _wait_told(agent, router.id, "backup")
        cpu = running.group.cpu() - cpu
    p99 = statistics.quantiles(written, n=100)[98]
    yield "address added -> state known, p50", statistics.median(written), "ms", ""
    yield "address added -> state known, p99", p99, "ms", ""
    yield "address added -> agent told, p50", statistics.median(told), "ms", ""
    yield "CPU a transition", cpu / (2 * LATENCIES) * 1000, "ms", ""
    yield "memory (PSS) after that", running.group.pss(), "MB", ""


def _wait_written(running: Running, number: int, word: str) -> float:
    """The wall clock then."""
    deadline = time.monotonic() + SPIN_LIMIT
    while running.monitors.state(number) != word:
        if time.monotonic() > deadline:
            raise LabError(f"router {number} is not {word} within {SPIN_LIMIT:g} s")
    return time.time()


def _wait_told(agent: Agent, router: str, word: str) -> float:
    wait_until(
        lambda: agent.state(router) == word, SPIN_LIMIT, f"the agent is told {word}", every=0.001
    )
    return agent.told[router].at


def _storms(running: Running, agent: Agent, what: str) -> Iterator[Row]:
    """All change to MASTER within a second, and back. The worst of all storms, not their mean."""
    count, group = running.count, running.group
    late, right, told, cpu = [], [], [], 0.0
    for _ in range(STORMS):
        for order, masters, word in (("master", count, "primary"), ("backup", 0, "backup")):
            before = group.cpu()
            done = running.load.order(order, range(count), STORM_WITHIN)
            wrong = running.monitors.settle(masters)
            late.append(running.monitors.last_written() - done["ended"])
            right.append(count - len(wrong))
            wait_silent(group, 1.0)
            told.append(sum(agent.state(router.id) == word for router in running.load.routers))
            cpu += group.cpu() - before
    worst, changes = min(right), sum(right)
    if worst == count:
        yield f"{what}: all known after", max(late), "s", ""
        yield f"{what}: CPU a transition", cpu / changes * 1000, "ms", ""
    else:
        never = f"never: {right} of {count} right at the ends"
        yield f"{what}: all known after", None, "s", never
    yield f"{what}: right at the end, at worst", worst, "routers", f"of {count}"
    yield f"{what}: the agent told right, at worst", min(told), "routers", f"of {count}"


# --- few routers ---


def _start_backups(running: Running) -> None:
    """Returns when they follow too: each writes its state first, and misses what comes between."""
    running.monitors.start()
    running.monitors.wait_right(0)
    wait_silent(running.group, 1.0)


def many_addresses(monitor: Path, count: int) -> Iterator[Row]:
    """One router gets 500 addresses and loses them after a second."""
    with _running(monitor, count, MANY_ADDRESSES) as running, running.agent(LONG_BACKLOG):
        _start_backups(running)
        running.load.order("master", [0])
        running.monitors.wait_right(1)
        time.sleep(1.0)  # the measurement itself
        done = running.load.order("backup", [0])["ended"]
        running.monitors.wait_right(0)
        wait_silent(running.group, 1.0)
        late = running.monitors.last_written() - done
        yield f"{MANY_ADDRESSES} addresses gone: right after", late, "s", ""


def overrun(monitor: Path, count: int) -> Iterator[Row]:
    """Stopped, the monitors miss more changes than their sockets hold; then they go on.

    The virtual address of the first half is added when they have caught up, that of the others
    while the sockets are full.
    """
    half = count // 2
    with _running(monitor, count) as running, running.agent(LONG_BACKLOG):
        _start_backups(running)
        node, routers = running.load.node, running.load.routers
        virtual = [Address(node, r.namespace, *r.addresses[0]) for r in routers]
        running.group.signal(signal.SIGSTOP)
        for router in routers:
            # what a stand-in never reads is dropped, too
            dropped = netlink_drops(node, router.namespace)
            # on this interface no version does more with it than to compare it
            with closing(Address(node, router.namespace, "198.51.100.1/32", router.ha)) as other:
                other.flap(FLAPS)
            if netlink_drops(node, router.namespace) == dropped:
                raise LabError("the sockets hold all that")
        for address in virtual[half:]:
            address.add()
        running.group.signal(signal.SIGCONT)
        wait_silent(running.group, 5.0)
        during = _primaries(running, range(half, count))
        for address in virtual[:half]:
            address.add()
        wait_silent(running.group, 5.0)
        after = _primaries(running, range(half))
        for address in virtual:
            address.close()
    of = f"of {half}"
    yield "netlink overrun: a change meanwhile is known in the end", during, "routers", of
    yield "netlink overrun: the next change is known", after, "routers", of


def _primaries(running: Running, numbers: range) -> int:
    return sum(running.monitors.state(number) == "primary" for number in numbers)
