"""What goes in and out of a step: events are past-tense facts, actions are orders.

A source emits events about one router; the daemon performs the actions that a step returns, and
the outcome of a slow action comes back as an event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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
    Word,
)

# --- events: keepalived's processes ---


@dataclass(frozen=True, slots=True)
class KeepalivedStarted:
    """A living keepalived was found. `running_since` is when it started, monotonic seconds."""

    pid: int
    namespace: str | None
    config: KeepalivedConfig
    running_since: float


@dataclass(frozen=True, slots=True)
class KeepalivedAbsent:
    """A router that the configuration names has no living keepalived; its file says what it is."""

    namespace: str | None
    config: KeepalivedConfig


@dataclass(frozen=True, slots=True)
class KeepalivedReloaded:
    config: KeepalivedConfig


@dataclass(frozen=True, slots=True)
class KeepalivedEnded:
    """The VRRP process is gone: by its pidfd."""

    pid: int


@dataclass(frozen=True, slots=True)
class RouterGone:
    """Neither process, nor namespace, nor configuration is left: for the daemon, not for a step."""


# --- events: the kernel ---


@dataclass(frozen=True, slots=True)
class KernelListed:
    """Everything the namespace holds, listed after following began: replaces what was known."""

    links: Mapping[str, bool]  # interface -> up and with carrier
    addresses: frozenset[tuple[str, IPInterface]]


@dataclass(frozen=True, slots=True)
class LinkChanged:
    interface: str
    up: bool


@dataclass(frozen=True, slots=True)
class LinkRemoved:
    interface: str


@dataclass(frozen=True, slots=True)
class AddressAdded:
    interface: str
    address: IPInterface


@dataclass(frozen=True, slots=True)
class AddressRemoved:
    interface: str
    address: IPInterface


@dataclass(frozen=True, slots=True)
class UplinksChanged:
    """Which of the router's uplinks are not there, not up or without carrier."""

    down: frozenset[str]


# --- events: keepalived's notifications ---


@dataclass(frozen=True, slots=True)
class NotifyWatched:
    """Whether the router's FIFO is open and is the one that keepalived writes to."""

    watched: bool


@dataclass(frozen=True, slots=True)
class StateNotified:
    """An INSTANCE line with a state. `priority` is the effective one; on FAULT it can be stale."""

    instance: str
    word: Word
    priority: int


# --- events: the wire ---


@dataclass(frozen=True, slots=True)
class WireWatched:
    """Whether the adverts on the router's VRRP interfaces can be heard."""

    watched: bool


@dataclass(frozen=True, slots=True)
class AdvertSent:
    """keepalived of this router sent an advert."""

    interface: str
    vrid: int
    source: IPAddress
    priority: int


@dataclass(frozen=True, slots=True)
class AdvertHeard:
    """Another node's advert arrived. `advert_int` in seconds."""

    interface: str
    vrid: int
    source: IPAddress
    priority: int
    advert_int: float


# --- events: gateways ---


@dataclass(frozen=True, slots=True)
class GatewayProbed:
    """A probe ended. With REPLY: the method that answered first and its round-trip time."""

    gateway: Gateway
    sent_at: float
    outcome: Outcome
    method: str  # "arp", "ndp" or "icmp"; without a reply those tried, joined with "+"
    rtt_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class DefaultRoutesListed:
    gateways: tuple[Gateway, ...]


# --- events: operators, configuration, time and the lever ---


@dataclass(frozen=True, slots=True)
class FailoverRequested:
    pass


@dataclass(frozen=True, slots=True)
class DrainChanged:
    draining: bool


@dataclass(frozen=True, slots=True)
class SettingsChanged:
    settings: Settings


@dataclass(frozen=True, slots=True)
class StandingRead:
    """What the track file held when havrrpd looked; None: it is missing or holds no number."""

    path: str
    value: int | None


@dataclass(frozen=True, slots=True)
class StandingWritten:
    path: str
    value: int


@dataclass(frozen=True, slots=True)
class StandingFailed:
    path: str
    value: int
    error: str


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """The time that `next_deadline` named has come."""


@dataclass(frozen=True, slots=True)
class Stopping:
    """havrrpd is about to stop: nothing may be left half done."""


KernelEvent = KernelListed | LinkChanged | LinkRemoved | AddressAdded | AddressRemoved
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


@dataclass(frozen=True, slots=True)
class WriteStanding:
    path: str
    value: int


@dataclass(frozen=True, slots=True)
class ReadStanding:
    path: str


@dataclass(frozen=True, slots=True)
class ProbeGateway:
    """Ask once, by every method at the same time; the first reply counts."""

    gateway: Gateway
    source: IPInterface | None  # the address to ask from, None: as the kernel chooses
    timeout: float
    methods: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StopProbing:
    """Close what probing this router opened; transmit nothing any more."""


@dataclass(frozen=True, slots=True)
class ListDefaultRoutes:
    pass


@dataclass(frozen=True, slots=True)
class ReportTransition:
    instance: str
    old: State
    new: State
    cause: Cause


@dataclass(frozen=True, slots=True)
class ReportProblem:
    """A problem appeared or went away. `instance` None: it is the router's as a whole."""

    instance: str | None
    problem: Problem
    present: bool


@dataclass(frozen=True, slots=True)
class ReportResignation:
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
