"""The vocabulary: what keepalived was told to do, and what is known of a router and its instances.

Words are keepalived's and RFC 9568's; where keepalived says Master, RFC 9568 says Active.
All times are monotonic seconds, all durations seconds; nothing here knows a wall clock. The records
are msgspec's: a `replace` takes 0.3 us there and 8 us with dataclasses, and a step makes three.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)

from msgspec import Struct, field

IPAddress = IPv4Address | IPv6Address
IPInterface = IPv4Interface | IPv6Interface
IPNetwork = IPv4Network | IPv6Network


class State(StrEnum):
    """The state of an instance, in keepalived's words."""

    INIT = "INIT"
    BACKUP = "BACKUP"
    MASTER = "MASTER"
    FAULT = "FAULT"
    STOPPED = "STOPPED"


class Problem(StrEnum):
    """A named disagreement or danger, shown beside the state."""

    ADDRESSES_ORPHANED = "addresses_orphaned"
    ADDRESSES_MISSING = "addresses_missing"
    ADVERTS_STOPPED = "adverts_stopped"
    DUPLICATE_MASTER = "duplicate_master"
    NO_MASTER_HEARD = "no_master_heard"
    WITNESSES_DISAGREE = "witnesses_disagree"
    GATEWAY_UNREACHABLE = "gateway_unreachable"
    KEEPALIVED_DOWN = "keepalived_down"
    LEVER_MISSING = "lever_missing"


class Cause(StrEnum):
    """Why a transition happened, correlated from what preceded it."""

    GATEWAY_LOST = "gateway_lost"
    LINK_DOWN = "link_down"
    KEEPALIVED_STOPPED = "keepalived_stopped"
    KEEPALIVED_DIED = "keepalived_died"
    PEER_RESIGNED = "peer_resigned"
    PEER_SILENT = "peer_silent"
    PREEMPTED = "preempted"
    DRAINED = "drained"
    FAILOVER_REQUESTED = "failover_requested"
    STARTED = "started"
    ADDRESS_REMOVED = "address_removed"
    UNKNOWN = "unknown"


class Witness(StrEnum):
    """Who gives evidence of a transition: the four witnesses, the gateways, our own lever."""

    PROCESS = "process"
    KERNEL = "kernel"
    NOTIFICATION = "notification"
    WIRE = "wire"
    GATEWAY = "gateway"
    LEVER = "lever"


class Word(StrEnum):
    """The states that keepalived's notify FIFO names (its other words are events, not states)."""

    MASTER = "MASTER"
    BACKUP = "BACKUP"
    FAULT = "FAULT"
    STOP = "STOP"
    DELETED = "DELETED"


LAST_WORDS = frozenset({Word.STOP, Word.DELETED})  # its process says no more of an instance


class Verdict(StrEnum):
    """What is known of a gateway, or of a router's connectivity as a whole."""

    REACHABLE = "reachable"
    LOST = "lost"
    UNCHECKED = "unchecked"


class Outcome(StrEnum):
    """How a probe ended. DISCARDED does not count: the observer was stalled or could not ask."""

    REPLY = "reply"
    TIMEOUT = "timeout"
    ERROR = "error"
    DISCARDED = "discarded"


class Phase(StrEnum):
    """Where a router stands in the election on this node."""

    STEADY = "steady"
    RESIGNING = "resigning"
    DWELLING = "dwelling"
    ALONE = "alone"
    DRAINED = "drained"


# --- what keepalived was told: the configuration as loaded -----------------------------------


class VirtualAddress(Struct, frozen=True):
    """One address of an instance and the interface that carries it while MASTER."""

    address: IPInterface
    interface: str
    excluded: bool = False  # virtual_ipaddress_excluded: not in the adverts


class VirtualRoute(Struct, frozen=True):
    """One of virtual_routes. `via` is None for a route without a next hop."""

    destination: IPNetwork
    via: IPAddress | None = None
    interface: str | None = None


class TrackFile(Struct, frozen=True):
    """A global track_file block. `weight` is keepalived's: 1 unless given.

    `initial` is what init_file writes where no file is; None: there is no such line.
    """

    name: str
    path: str
    weight: int = 1
    initial: int | None = None
    overwrite: bool = False  # init_file also replaces a file that is there


class InstanceConfig(Struct, frozen=True):
    """One vrrp_instance of a loaded configuration, with keepalived's defaults filled in."""

    name: str
    vrid: int
    interface: str
    priority: int = 100
    version: int = 2
    advert_int: float = 1.0
    preempt: bool = True
    virtual_addresses: tuple[VirtualAddress, ...] = ()
    virtual_routes: tuple[VirtualRoute, ...] = ()
    unicast_peers: tuple[IPAddress, ...] = ()
    track_files: tuple[tuple[str, int | None], ...] = ()  # (name, weight if given here)
    track_scripts: tuple[str, ...] = ()
    sync_group: str | None = None
    authentication: str = ""  # of version 2: "AH", or PASS with a digest of the password

    @property
    def interfaces(self) -> frozenset[str]:
        """That of VRRP, and those of the virtual addresses."""
        return frozenset((self.interface, *(v.interface for v in self.virtual_addresses)))

    @property
    def skew_time(self) -> float:
        """Skew_Time, RFC 9568 section 6.1; in VRRPv2 it does not scale with advert_int."""
        return (256 - self.priority) / 256 * (1.0 if self.version == 2 else self.advert_int)

    @property
    def active_down_interval(self) -> float:
        """Active_Down_Interval, RFC 9568 section 6.1 (keepalived's master_down_timer)."""
        return 3 * self.advert_int + self.skew_time


class SyncGroup(Struct, frozen=True):
    name: str
    members: tuple[str, ...]


class KeepalivedConfig(Struct, frozen=True):
    """A router's keepalived configuration as loaded; `skipped` counts the constructs not known."""

    instances: tuple[InstanceConfig, ...] = ()
    sync_groups: tuple[SyncGroup, ...] = ()
    track_files: tuple[TrackFile, ...] = ()
    notify_fifo: str | None = None  # vrrp_notify_fifo, else notify_fifo
    notify_fifo_user: str | None = None
    net_namespace: str | None = None
    static_routes: bool = False  # there are some
    skipped: int = 0


# --- what havrrpd was told about a router -----------------------------------------------------


class HealthCheck(Struct, frozen=True):
    """How gateways and uplinks are checked. interval 0: gateways are not. `gateways` empty: those
    of keepalived.
    """

    interval: float = 0.0
    timeout: float = 1.0
    fall: int = 3
    rise: int = 2
    retry_interval: float = 0.5
    methods: tuple[str, ...] = ("arp", "icmp")
    require: str = "all"
    gateways: tuple[IPAddress, ...] = ()
    uplinks: tuple[str, ...] = ()  # interfaces of the node, in the namespace of havrrpd itself

    @property
    def time_to_lose(self) -> float:
        """Seconds from the first missed probe to the verdict that a gateway is lost."""
        return (self.fall - 1) * self.retry_interval + self.timeout


class Settings(Struct, frozen=True):
    """All that a step needs to know of havrrpd's configuration, for one router."""

    node: str
    health_check: HealthCheck = field(default_factory=HealthCheck)
    observe_only: bool = False
    max_dwell: float = 300.0
    settle: float = 0.25
    lever_dir: str = "/run/havrrpd/levers"


# --- what is known: a router and its parts ----------------------------------------------------


class MasterHeard(Struct, frozen=True):
    """Another node that says it is MASTER, as its adverts show it."""

    address: IPAddress
    priority: int
    advert_int: float
    first_heard: float
    last_heard: float


class Transition(Struct, frozen=True):
    """One change of an instance's state."""

    old: State
    new: State
    at: float
    cause: Cause


class Statement(Struct, frozen=True, gc=False):
    """What a witness said last, ahead of a transition."""

    witness: Witness
    said: str
    at: float


class Evidence(Struct, frozen=True):
    """When each thing that can explain a transition was last seen; -inf: never."""

    process_started: float = float("-inf")
    link_down: float = float("-inf")
    address_removed: float = float("-inf")
    peer_resigned: float = float("-inf")
    peer_outranked: float = float("-inf")  # an advert with a priority not below ours
    own_resigned: float = float("-inf")  # an own priority-0 advert, or the word STOP
    master_heard: float = float("-inf")
    master_lower: bool = False  # the last MASTER heard had a lower priority than ours
    heard_from: IPAddress | None = None  # the last advert of another node
    heard_priority: int = 0


class Instance(Struct, frozen=True):
    """What the witnesses say of one VRRP instance, and what follows from it."""

    config: InstanceConfig
    state: State = State.INIT
    since: float = 0.0
    present: frozenset[VirtualAddress] = frozenset()
    word: Word | None = None  # the last notification; None: none heard from this process
    word_at: float = float("-inf")
    priority_seen: int | None = None  # in the own adverts
    adverts_sent: int = 0
    adverts_heard: int = 0
    last_sent: float = float("-inf")
    masters: tuple[MasterHeard, ...] = ()
    evidence: Evidence = field(default_factory=Evidence)
    conditions: tuple[tuple[Problem, float], ...] = ()  # what looks wrong, and since when
    problems: frozenset[Problem] = frozenset()  # what has looked wrong for long enough
    disagreement: float | None = None  # since when the witnesses differ about the state
    last_transition: Transition | None = None
    transitions: tuple[tuple[State, Cause, int], ...] = ()
    kernel_at: float = float("-inf")  # when its addresses or links changed last


class Gateway(Struct, frozen=True, order=True):
    """A next hop. `interface` is where it is on-link, None if that is not known."""

    address: IPAddress
    interface: str | None = None


class GatewayCheck(Struct, frozen=True):
    """The probing of one gateway: what came of it and when the next probe is due."""

    gateway: Gateway
    verdict: Verdict = Verdict.UNCHECKED
    due: float = 0.0
    failures_in_a_row: int = 0
    successes_in_a_row: int = 0
    method: str | None = None  # of the last reply
    rtt_seconds: float | None = None
    checked_at: float | None = None
    answered: float = float("-inf")  # when the latest probe that was answered had been sent
    source: IPInterface | None = None  # of the last probe, until addresses change


class Election(Struct, frozen=True):
    """This node's part in the election of one router."""

    phase: Phase = Phase.STEADY
    cause: Cause | None = None  # of the resignation under way, or the last one
    tried: bool = False
    waited: int = 0  # turns of other nodes since the own one, in the present outage
    taken: tuple[tuple[IPAddress, int], ...] = ()  # the priorities of untried masters heard
    moved_on: int = 0  # how often the rank was left because a taken priority was near
    longest_heard: float = 0.0  # seconds: a turn of another node that ended in a resignation
    draining: bool = False
    drain_settled: bool = False  # the role was given up for this drain, or was not held
    without_effect: bool = False  # the last resignation left this node MASTER: the lever is dead
    stopping: bool = False  # havrrpd is about to stop: nothing new is begun
    turns: int = 0  # in the present outage
    turns_total: int = 0
    turn_since: float | None = None
    release_due: float | None = None  # while RESIGNING: when it must have moved the router
    retry_due: float | None = None  # while DWELLING or ALONE: when to resign again
    rewrite_due: float | None = None  # after a failed write: when to try again
    resigned_at: float = float("-inf")
    standing: int = 0  # what the track file should hold
    lever_read: bool = False  # what the track file held was read once
    ordered: int | None = None  # what it held, or the last value ordered to be written
    written: int | None = None  # what it is known to hold
    written_at: float = float("-inf")  # when that was written, or read
    resignations: tuple[tuple[Cause, int], ...] = ()


class Router(Struct, frozen=True):
    """One keepalived process and its network namespace: everything the core knows of it."""

    id: str
    settings: Settings
    namespace: str | None = None  # None: the host's
    pid: int | None = None  # of the VRRP process; None: no living keepalived
    running_since: float = float("-inf")  # when that process, or the last one, started
    config: KeepalivedConfig = field(default_factory=KeepalivedConfig)
    listed: bool = False  # the kernel's addresses and links were listed once
    wire_watched: bool = False
    wire_since: float = 0.0  # when the wire began to be watched
    notify_watched: bool = False
    links: Mapping[str, bool] = field(default_factory=dict)  # interface -> up
    addresses: frozenset[tuple[str, IPInterface]] = frozenset()
    uplinks_down: frozenset[str] = frozenset()  # of those in the settings; missing counts as down
    instances: tuple[Instance, ...] = ()
    checks: tuple[GatewayCheck, ...] = ()
    default_gateways: tuple[Gateway, ...] = ()
    routes_due: float | None = None  # when to list the default routes again
    probes: Mapping[tuple[Gateway, str, Outcome], int] = field(default_factory=dict)
    connectivity: Verdict = Verdict.UNCHECKED
    lever: str | None = None  # the path of its track file in the loaded configuration
    election: Election = field(default_factory=Election)
    problems: frozenset[Problem] = frozenset()  # of the router as a whole
    due: float = float("-inf")  # its deadline, but for the gateways; -inf: not stepped yet

    @property
    def state(self) -> State:
        """The worst state of the instances, in the order STOPPED FAULT INIT MASTER BACKUP."""
        if self.pid is None:
            return State.STOPPED
        if len(self.instances) == 1:  # asked for nine times a step
            return self.instances[0].state
        states = {instance.state for instance in self.instances}
        return next((state for state in WORST_FIRST if state in states), State.INIT)

    @property
    def all_problems(self) -> frozenset[Problem]:
        return self.problems.union(*(instance.problems for instance in self.instances))


WORST_FIRST = (State.STOPPED, State.FAULT, State.INIT, State.MASTER, State.BACKUP)
