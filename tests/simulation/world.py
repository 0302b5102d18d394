"""Nodes with the model of keepalived and the real core, a wire between them, gateways behind them.

Everything random comes from one seed, and time is virtual: one history gives one run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, ip_interface
from random import Random
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from havrrpd.core.messages import (
    Action,
    AddressAdded,
    AddressRemoved,
    AdvertHeard,
    AdvertSent,
    DeadlinePassed,
    DrainChanged,
    Event,
    FailoverRequested,
    GatewayProbed,
    KeepalivedEnded,
    KeepalivedStarted,
    KernelListed,
    LinkChanged,
    ListDefaultRoutes,
    NotifyWatched,
    ProbeGateway,
    ReadStanding,
    ReportProblem,
    ReportResignation,
    ReportTransition,
    StandingRead,
    StandingWritten,
    StateNotified,
    StopProbing,
    UplinksChanged,
    WireWatched,
    WriteStanding,
)
from havrrpd.core.model import (
    Cause,
    HealthCheck,
    InstanceConfig,
    KeepalivedConfig,
    Outcome,
    Router,
    Settings,
    State,
    TrackFile,
    VirtualAddress,
    VirtualRoute,
    Word,
)
from havrrpd.core.step import next_deadline, step
from tests.simulation.agenda import Agenda, Frozen
from tests.simulation.keepalived import Advert, Keepalived

LEVER = "/run/havrrpd/levers/r1"
ADDRESS = VirtualAddress(ip_interface("169.254.0.1/24"), "ha-1")
ROUTE = VirtualRoute(IPv4Network("0.0.0.0/0"), IPv4Address("203.0.113.1"), "qg-1")
QUICK = HealthCheck(interval=1.0, timeout=0.5, retry_interval=0.25, fall=2)

RTT = 0.0005  # of a probe, seconds
REWRITE = 0.0001  # from the order to the renamed track file
INOTIFY = 0.0005  # from the renamed track file to keepalived
DISCOVERED = 0.5  # from keepalived's start to its discovery
RESTART = 1.0  # from the death of havrrpd to its next start, as systemd does it


class Scenario(Struct, frozen=True):
    """What stays the same through a history. `lag`: from an event to each node's core, seconds."""

    priorities: tuple[int, ...] = (50, 50, 50)
    version: int = 2
    advert_int: float = 1.0
    preempt: bool = False
    delay: float = 0.0  # of the wire
    loss: float = 0.0  # share of the adverts that do not arrive
    jitter: float = 0.0005  # by how much keepalived's timers are late at most
    lag: tuple[float, ...] = (0.001,)
    health_check: HealthCheck = QUICK
    max_dwell: float = 6.0
    router: str = "r1"
    seed: int = 0

    def instance(self, node: int) -> InstanceConfig:
        return InstanceConfig(
            "VR_1",
            vrid=1,
            interface="ha-1",
            priority=self.priorities[node],
            version=self.version,
            advert_int=self.advert_int,
            preempt=self.preempt,
            virtual_addresses=(ADDRESS,),
            virtual_routes=(ROUTE,),
            track_files=(("havrrpd", None),),
        )


class Node(Frozen):
    """One node. It, its keepalived and its havrrpd live and die on their own."""

    def __init__(self, world: World, number: int) -> None:
        super().__init__()
        self.world, self.number = world, number
        self.name = f"network{number + 1}"
        self.address = IPv4Address("169.254.192.1") + number
        self.config = world.scenario.instance(number)
        self.alive = False
        self.keepalived: Keepalived | None = None
        self.daemon: Daemon | None = None
        self.lever: int | None = None  # what the track file holds
        self.held = False  # whether the kernel holds the virtual address
        self.link = True
        self.cut = False  # off the wire, with carrier
        self.uplink = True  # without it: the same, and havrrpd is told
        self.gateway = True
        self.draining = False  # the mark of a drain on the disk
        self.lines: list[Word] = []  # in the FIFO, while nobody reads it
        self.pid = 0
        self.started_at = 0.0

    # --- orders from the world ---

    def start(self) -> None:
        if not self.alive:
            self.alive, self.held, self.lines = True, False, []
            self.start_keepalived()
            self.start_daemon()

    def crash(self) -> None:
        """The machine: nothing is said any more, and what was held is gone."""
        self.kill_daemon()
        if self.keepalived:
            self.keepalived.kill()
        self.alive, self.keepalived, self.held = False, None, False
        self.lever = None  # /run is empty after a boot

    def start_keepalived(self) -> None:
        if not self.alive or self.keepalived:
            return
        self.pid, self.started_at = self.pid + 1, self.world.agenda.now
        self._hold(False)
        self.lever = self.lever or 0  # init_file
        scenario, agenda = self.world.scenario, self.world.agenda
        self.keepalived = Keepalived(
            agenda,
            self,
            self.address,
            self.config,
            self.lever,
            jitter=scenario.jitter,
            random=self.world.random,
            send=self._send,
            say=self._say,
            hold=self._hold,
        )
        self.keepalived.link_changed(self.link)
        agenda.after(DISCOVERED, self._discovered, self.pid, of=self)

    def stop_keepalived(self) -> None:
        self._end_keepalived(Keepalived.stop)

    def kill_keepalived(self) -> None:
        """The child alone: the main process starts another one at once."""
        self._end_keepalived(Keepalived.kill)
        self.start_keepalived()

    def start_daemon(self) -> None:
        if self.alive and self.daemon is None:
            self.daemon = Daemon(self)

    def kill_daemon(self) -> None:
        if self.daemon:
            self.daemon.dead, self.daemon = True, None

    def set_link(self, up: bool) -> None:
        self.link = up
        if self.keepalived:
            self.keepalived.link_changed(up)
        self.tell(LinkChanged("ha-1", up))

    def set_uplink(self, up: bool) -> None:
        self.uplink = up
        self.tell(self.uplinks())

    def uplinks(self) -> UplinksChanged:
        return UplinksChanged(frozenset(() if self.uplink else ("eth-ha",)))

    @property
    def on_wire(self) -> bool:
        return self.link and self.uplink and not self.cut

    def tell(self, event: Event) -> None:
        if self.daemon:
            self.daemon.hear(event)

    # --- what keepalived does ---

    @property
    def is_master(self) -> bool:
        return self.keepalived is not None and self.keepalived.state is State.MASTER

    def _send(self, advert: Advert) -> None:
        self.tell(AdvertSent("ha-1", 1, advert.source, advert.priority))
        self.world.carry(self, advert)

    def _say(self, word: Word) -> None:
        if self.daemon:
            self.daemon.hear(StateNotified("VR_1", word, 0))
        else:
            self.lines.append(word)

    def _hold(self, held: bool) -> None:
        if held is self.held:
            return
        self.held = held
        kind = AddressAdded if held else AddressRemoved
        self.tell(kind(ADDRESS.interface, ADDRESS.address))

    def _end_keepalived(self, how: Callable[[Keepalived], None]) -> None:
        if self.keepalived:
            how(self.keepalived)
            self.keepalived = None
            self.tell(KeepalivedEnded(self.pid))

    def _discovered(self, pid: int) -> None:
        if self.keepalived and self.pid == pid and self.daemon:
            self.daemon.hear(self.found())

    def found(self) -> KeepalivedStarted:
        config = KeepalivedConfig((self.config,), track_files=(TrackFile("havrrpd", LEVER),))
        return KeepalivedStarted(self.pid, "qrouter-r1", config, self.started_at)

    def written(self, value: int) -> None:
        """The track file was renamed over."""
        self.lever = value
        if self.keepalived:
            after, keepalived = self.world.agenda.after, self.keepalived
            after(INOTIFY, keepalived.lever_written, value, of=self)


class Daemon(Frozen):
    """havrrpd of one node: the real core, and the edges as they are when all goes well."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self.node, self.world, self.dead = node, node.world, False
        scenario = self.world.scenario
        self.lag = scenario.lag[node.number % len(scenario.lag)]
        settings = Settings(
            node.name, scenario.health_check, max_dwell=scenario.max_dwell, settle=0.25
        )
        self.router = Router(scenario.router, settings)
        self._deadline: float | None = None
        self.stalled_until = node.stalled_until
        self.world.agenda.after(0.0, self._start, of=self)

    def hear(self, event: Event) -> None:
        self.world.agenda.after(self.lag, self._step, event, of=self)

    def _start(self) -> None:
        node = self.node
        self._step(DrainChanged(node.draining))
        if node.keepalived:
            self._step(node.found())
        held = frozenset({(ADDRESS.interface, ADDRESS.address)} if node.held else ())
        self._step(KernelListed({"ha-1": node.link, "qg-1": True}, held))
        self._step(node.uplinks())
        self._step(WireWatched(True))
        self._step(NotifyWatched(True))
        for word in node.lines:
            self._step(StateNotified("VR_1", word, 0))
        node.lines = []

    def _step(self, event: Event) -> None:
        if self.dead:
            return
        self.router, actions = step(self.router, event, self.world.agenda.now)
        for action in actions:
            if not self.dead:
                self._perform(action)
        self._wake_in_time()

    def _wake_in_time(self) -> None:
        due = next_deadline(self.router)
        if due is not None and due != self._deadline:
            self._deadline = due
            after = max(0.0, due - self.world.agenda.now)
            self.world.agenda.after(after, self._woken, due, of=self)

    def _woken(self, due: float) -> None:
        if due == self._deadline:
            self._deadline = None
            self._step(DeadlinePassed())

    def _perform(self, action: Action) -> None:
        after = self.world.agenda.after
        match action:
            case WriteStanding(path, value):
                self.world.about_to_write(self.node, value)
                if not self.dead:
                    after(REWRITE, self._write, path, value, of=self)
            case ReadStanding(path):
                self.hear(StandingRead(path, self.node.lever))
            case ProbeGateway():
                self._probe(action)
            case ReportResignation(cause):
                self.world.resigned(self.node, cause)
            case StopProbing() | ListDefaultRoutes() | ReportTransition() | ReportProblem():
                pass  # what the world has is not probed by name, and reports go to people
            case _:
                assert_never(action)

    def _write(self, path: str, value: int) -> None:
        if not self.dead:
            self.node.written(value)
            self._step(StandingWritten(path, value))

    def _probe(self, probe: ProbeGateway) -> None:
        answers = self.node.gateway and self.node.held
        event = GatewayProbed(
            probe.gateway,
            self.world.agenda.now,
            Outcome.REPLY if answers else Outcome.TIMEOUT,
            "arp",
            RTT if answers else None,
        )
        wait = RTT if answers else probe.timeout
        self.world.agenda.after(wait, self._step, event, of=self)


@dataclass(slots=True)
class Watch:
    """Who wants to know what happens; the invariants do."""

    resigned: Callable[[Node, Cause], None] = lambda node, cause: None
    disturbed: Callable[[], None] = lambda: None  # by something that had been prepared
    checked: Callable[[], None] = lambda: None


@dataclass(slots=True)
class Armed:
    """havrrpd of a node dies at its next resignation, right before or after the write."""

    after_write: bool


class World:
    """All nodes of one scenario, not yet started."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.random = Random(scenario.seed)
        self.agenda = Agenda()
        self.nodes = [Node(self, number) for number in range(len(scenario.priorities))]
        self.watch = Watch()
        self.adverts: list[tuple[float, str, int]] = []  # as a capture of the wire would show them
        self._armed: dict[int, Armed] = {}

    def run(self, seconds: float) -> None:
        end = self.agenda.now + seconds
        while self.agenda.now < end:  # a silent world is watched as well
            self.agenda.run(min(end, self.agenda.now + 1.0), self.watch.checked)
            self.watch.checked()

    # --- the wire ---

    def carry(self, sender: Node, advert: Advert) -> None:
        if not sender.on_wire:
            return
        self.adverts.append((self.agenda.now, sender.name, advert.priority))
        for node in self.nodes:
            lost = self.scenario.loss and self.random.random() < self.scenario.loss
            if node is not sender and node.on_wire and not lost:
                self.agenda.after(self.scenario.delay, self._arrive, node, advert, of=node)

    def _arrive(self, node: Node, advert: Advert) -> None:
        if not node.alive or not node.on_wire:
            return
        heard = AdvertHeard("ha-1", 1, advert.source, advert.priority, advert.advert_int)
        node.tell(heard)
        if node.keepalived:
            node.keepalived.received(advert)

    # --- what can be done to it ---

    def kill_daemon(self, number: int, restart: float = RESTART) -> None:
        node = self.nodes[number]
        node.kill_daemon()
        self.agenda.after(restart, node.start_daemon)

    def kill_daemon_as_it_resigns(self, number: int, after_write: bool) -> None:
        self._armed[number] = Armed(after_write)

    def about_to_write(self, node: Node, value: int) -> None:
        if value > -254 or node.number not in self._armed:
            return
        if self._armed.pop(node.number).after_write:
            node.written(value)
        self.kill_daemon(node.number)
        self.watch.disturbed()

    def stall(self, number: int, seconds: float) -> None:
        node = self.nodes[number]
        node.stalled_until = self.agenda.now + seconds
        self.stall_daemon(number, seconds)

    def stall_daemon(self, number: int, seconds: float) -> None:
        node = self.nodes[number]
        if node.daemon:
            node.daemon.stalled_until = max(self.agenda.now + seconds, node.stalled_until)

    def drain(self, number: int, draining: bool) -> None:
        node = self.nodes[number]
        node.draining = draining
        node.tell(DrainChanged(draining))

    def failover(self, number: int) -> None:
        self.nodes[number].tell(FailoverRequested())

    def resigned(self, node: Node, cause: Cause) -> None:
        self.watch.resigned(node, cause)


def scenario_of(nodes: int, base: int = 50, **more: object) -> Scenario:
    """Nodes of one base priority."""
    return replace(Scenario(), priorities=(base,) * nodes, **more)
