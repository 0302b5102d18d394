"""What goes in and out of a step: events are past-tense facts, actions are orders.

A source emits events about one router; the daemon performs the actions that a step returns, and
the outcome of a slow action comes back as an event.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from havrrpd.core.model import (
    Cause,
    Gateway,
    IPAddress,
    IPInterface,
    KeepalivedConfig,
    Outcome,
    Problem,
    Settings,
    State,
    Statement,
    Word,
)

# --- events: keepalived's processes ---


class KeepalivedStarted(Struct, frozen=True):
    """A living keepalived was found. `running_since` is when it started, monotonic seconds."""

    pid: int
    namespace: str | None
    config: KeepalivedConfig
    running_since: float


class KeepalivedAbsent(Struct, frozen=True):
    """A router that the configuration names has no living keepalived; its file says what it is."""

    namespace: str | None
    config: KeepalivedConfig


class KeepalivedReloaded(Struct, frozen=True):
    config: KeepalivedConfig


class KeepalivedEnded(Struct, frozen=True):
    """The VRRP process is gone: by its pidfd."""

    pid: int


class RouterGone(Struct, frozen=True):
    """Neither process, nor namespace, nor configuration is left: for the daemon, not for a step."""


# --- events: the kernel ---


class KernelListed(Struct, frozen=True):
    """Everything the namespace holds, listed after following began: replaces what was known."""

    links: Mapping[str, bool]  # interface -> up and with carrier
    addresses: frozenset[tuple[str, IPInterface]]


class LinkChanged(Struct, frozen=True):
    interface: str
    up: bool


class LinkRemoved(Struct, frozen=True):
    interface: str


class AddressAdded(Struct, frozen=True):
    interface: str
    address: IPInterface


class AddressRemoved(Struct, frozen=True):
    interface: str
    address: IPInterface


class UplinksChanged(Struct, frozen=True):
    """Which of the router's uplinks are not there, not up or without carrier."""

    down: frozenset[str]


# --- events: keepalived's notifications ---


class NotifyWatched(Struct, frozen=True):
    """Whether the router's FIFO is open and is the one that keepalived writes to."""

    watched: bool


class StateNotified(Struct, frozen=True):
    """An INSTANCE line with a state. `priority` is the effective one; on FAULT it can be stale."""

    instance: str
    word: Word
    priority: int


# --- events: the wire ---


class WireWatched(Struct, frozen=True):
    """Whether the adverts on the router's VRRP interfaces can be heard."""

    watched: bool


class AdvertSent(Struct, frozen=True):
    """keepalived of this router sent an advert."""

    interface: str
    vrid: int
    source: IPAddress
    priority: int


class AdvertHeard(Struct, frozen=True):
    """Another node's advert arrived. `advert_int` in seconds."""

    interface: str
    vrid: int
    source: IPAddress
    priority: int
    advert_int: float


# --- events: gateways ---


class GatewayProbed(Struct, frozen=True):
    """A probe ended. With REPLY: the method that answered first and its round-trip time."""

    gateway: Gateway
    sent_at: float
    outcome: Outcome
    method: str  # "arp", "ndp" or "icmp"; without a reply those tried, joined with "+"
    rtt_seconds: float | None = None


class DefaultRoutesListed(Struct, frozen=True):
    gateways: tuple[Gateway, ...]


# --- events: operators, configuration, time and the lever ---


class FailoverRequested(Struct, frozen=True):
    pass


class DrainChanged(Struct, frozen=True):
    draining: bool


class SettingsChanged(Struct, frozen=True):
    settings: Settings


class StandingRead(Struct, frozen=True):
    """What the track file held when havrrpd looked; None: it is missing or holds no number."""

    path: str
    value: int | None


class StandingWritten(Struct, frozen=True):
    path: str
    value: int


class StandingFailed(Struct, frozen=True):
    path: str
    value: int
    error: str


class DeadlinePassed(Struct, frozen=True):
    """The time that `next_deadline` named has come."""


class Stopping(Struct, frozen=True):
    """havrrpd is about to stop: nothing may be left half done."""


AddressEvent = AddressAdded | AddressRemoved
KernelEvent = KernelListed | LinkChanged | LinkRemoved | AddressEvent
Event = (
    KeepalivedStarted
    | KeepalivedAbsent
    | KeepalivedReloaded
    | KeepalivedEnded
    | KernelEvent
    | UplinksChanged
    | NotifyWatched
    | StateNotified
    | WireWatched
    | AdvertSent
    | AdvertHeard
    | GatewayProbed
    | DefaultRoutesListed
    | FailoverRequested
    | DrainChanged
    | SettingsChanged
    | StandingRead
    | StandingWritten
    | StandingFailed
    | DeadlinePassed
    | Stopping
)

# --- actions ---


class WriteStanding(Struct, frozen=True):
    path: str
    value: int


class ReadStanding(Struct, frozen=True):
    path: str


class ProbeGateway(Struct, frozen=True):
    """Ask once, by every method at the same time; the first reply counts."""

    gateway: Gateway
    source: IPInterface | None  # the address to ask from, None: as the kernel chooses
    timeout: float
    methods: tuple[str, ...]


class StopProbing(Struct, frozen=True):
    """Close what probing this router opened; transmit nothing any more."""


class ListDefaultRoutes(Struct, frozen=True):
    pass


class ReportTransition(Struct, frozen=True):
    """`evidence`: what each witness said last, in order of time."""

    instance: str
    old: State
    new: State
    cause: Cause
    evidence: tuple[Statement, ...] = ()


class ReportProblem(Struct, frozen=True):
    """A problem appeared or went away. `instance` None: it is the router's as a whole."""

    instance: str | None
    problem: Problem
    present: bool


class ReportResignation(Struct, frozen=True):
    cause: Cause


Action = (
    WriteStanding
    | ReadStanding
    | ProbeGateway
    | StopProbing
    | ListDefaultRoutes
    | ReportTransition
    | ReportProblem
    | ReportResignation
)
