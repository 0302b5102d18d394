"""Random histories: a scenario, and what happens to its nodes and when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from hypothesis import strategies as st

from havrrpd.core.model import HealthCheck
from tests.simulation.invariants import Invariants
from tests.simulation.world import QUICK, Scenario, World


@dataclass(frozen=True, slots=True)
class Gateway:
    node: int
    reachable: bool


@dataclass(frozen=True, slots=True)
class AllGateways:
    reachable: bool


@dataclass(frozen=True, slots=True)
class Crash:
    """The machine, until it is started again."""

    node: int


@dataclass(frozen=True, slots=True)
class Start:
    node: int


@dataclass(frozen=True, slots=True)
class KillDaemon:
    """havrrpd; systemd starts it again."""

    node: int


@dataclass(frozen=True, slots=True)
class KillDaemonAsItResigns:
    node: int
    after_write: bool


@dataclass(frozen=True, slots=True)
class KillKeepalived:
    """The child alone; the main process starts another."""

    node: int


@dataclass(frozen=True, slots=True)
class StopKeepalived:
    node: int


@dataclass(frozen=True, slots=True)
class StartKeepalived:
    node: int


@dataclass(frozen=True, slots=True)
class Stall:
    """The whole node stands still."""

    node: int
    seconds: float


@dataclass(frozen=True, slots=True)
class StallDaemon:
    node: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Link:
    node: int
    up: bool


@dataclass(frozen=True, slots=True)
class Cut:
    """Off the wire or back on it, with carrier."""

    node: int
    cut: bool


@dataclass(frozen=True, slots=True)
class Uplink:
    """Off the wire or back on it, with carrier in the namespace; havrrpd sees the node's own."""

    node: int
    up: bool


@dataclass(frozen=True, slots=True)
class Drain:
    node: int
    draining: bool


@dataclass(frozen=True, slots=True)
class Failover:
    node: int


Fault = (
    Gateway
    | AllGateways
    | Crash
    | Start
    | KillDaemon
    | KillDaemonAsItResigns
    | KillKeepalived
    | StopKeepalived
    | StartKeepalived
    | Stall
    | StallDaemon
    | Link
    | Cut
    | Uplink
    | Drain
    | Failover
)


@dataclass(frozen=True, slots=True)
class History:
    """`events`: seconds after the one before, and what happens; then `calm` seconds of nothing."""

    scenario: Scenario
    events: tuple[tuple[float, Fault], ...]
    calm: float


def play(history: History) -> Invariants:
    """Let it happen; raises InvariantBrokenError. Returns what was counted."""
    world = World(history.scenario)
    invariants = Invariants(world)
    for node in world.nodes:
        node.start()
    invariants.disturbed(gateways_only=True)
    for pause, fault in history.events:
        world.run(pause)
        inflict(world, fault)
        invariants.disturbed(gateways_only=isinstance(fault, Gateway | AllGateways))
    world.run(history.calm)
    invariants.ended()
    return invariants


def inflict(world: World, fault: Fault) -> None:
    match fault:
        case Gateway(number, reachable):
            world.nodes[number].gateway = reachable
        case AllGateways(reachable):
            for node in world.nodes:
                node.gateway = reachable
        case Crash(number):
            world.nodes[number].crash()
        case Start(number):
            world.nodes[number].start()
        case KillDaemon(number):
            world.kill_daemon(number)
        case KillDaemonAsItResigns(number, after_write):
            world.kill_daemon_as_it_resigns(number, after_write)
        case KillKeepalived(number):
            world.nodes[number].kill_keepalived()
        case StopKeepalived(number):
            world.nodes[number].stop_keepalived()
        case StartKeepalived(number):
            world.nodes[number].start_keepalived()
        case Stall(number, seconds):
            world.stall(number, seconds)
        case StallDaemon(number, seconds):
            world.stall_daemon(number, seconds)
        case Link(number, up):
            world.nodes[number].set_link(up)
        case Cut(number, cut):
            world.nodes[number].cut = cut
        case Uplink(number, up):
            world.nodes[number].set_uplink(up)
        case Drain(number, draining):
            world.drain(number, draining)
        case Failover(number):
            world.failover(number)
        case _:
            assert_never(fault)


# --- strategies ---

_PAUSES = st.sampled_from([0.0, 0.3, 1.0, 2.0, 4.0, 9.0])
_STALLS = st.sampled_from([0.01, 0.2, 1.5, 6.0])
_SLOW = HealthCheck(interval=1.0)


def gateway_faults(nodes: int) -> st.SearchStrategy[Fault]:
    node = st.integers(0, nodes - 1)
    return st.one_of(
        st.builds(AllGateways, st.booleans()),
        st.builds(Gateway, node, st.booleans()),
    )


def faults(nodes: int) -> st.SearchStrategy[Fault]:
    node = st.integers(0, nodes - 1)
    return st.one_of(
        gateway_faults(nodes),
        st.builds(Crash, node),
        st.builds(Start, node),
        st.builds(KillDaemon, node),
        st.builds(KillDaemonAsItResigns, node, st.booleans()),
        st.builds(KillKeepalived, node),
        st.builds(StopKeepalived, node),
        st.builds(StartKeepalived, node),
        st.builds(Stall, node, _STALLS),
        st.builds(StallDaemon, node, _STALLS),
        st.builds(Link, node, st.booleans()),
        st.builds(Cut, node, st.booleans()),
        st.builds(Uplink, node, st.booleans()),
        st.builds(Drain, node, st.booleans()),
        st.builds(Failover, node),
    )


@st.composite
def scenarios(draw: st.DrawFn, *, lossy: bool = False) -> Scenario:
    nodes = draw(st.sampled_from([1, 2, 2, 3, 3, 3, 4, 5, 7]))
    preempt = draw(st.sampled_from([False, False, False, True]))
    unequal = preempt or draw(st.sampled_from([False, False, True]))
    bases = st.sampled_from([34, 50, 100, 150, 254])
    equal = (draw(bases),) * nodes
    lags = st.sampled_from([0.0002, 0.001, 0.01])
    return Scenario(
        priorities=draw(st.tuples(*[bases] * nodes)) if unequal else equal,
        version=draw(st.sampled_from([2, 3])),
        advert_int=draw(st.sampled_from([0.2, 1.0, 1.0, 1.0, 2.0, 2.0])),
        preempt=preempt,
        delay=draw(st.sampled_from([0.0, 0.0001, 0.002])),
        loss=draw(st.sampled_from([0.02, 0.1])) if lossy else 0.0,
        jitter=draw(st.sampled_from([0.0001, 0.001])),
        lag=draw(st.lists(lags, min_size=1, max_size=nodes).map(tuple)),
        health_check=draw(st.sampled_from([QUICK, QUICK, _SLOW])),
        max_dwell=draw(st.sampled_from([2.0, 6.0, 6.0, 30.0])),
        router=f"r{draw(st.integers(1, 60))}",
        seed=draw(st.integers(0, 2**16)),
    )


@st.composite
def histories(draw: st.DrawFn, *, gateways_only: bool = False, lossy: bool = False) -> History:
    scenario = draw(scenarios(lossy=lossy))
    nodes = len(scenario.priorities)
    fault = gateway_faults(nodes) if gateways_only else faults(nodes)
    events = draw(st.lists(st.tuples(_PAUSES, fault), max_size=8))
    calm = draw(st.sampled_from([15.0, 15.0, 15.0, 30.0, 30.0, 30.0, 90.0, 150.0]))
    return History(scenario, tuple(events), calm)
