"""The whole node at one moment: the one argument of every view."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct, field

from havrrpd.core.history import History
from havrrpd.core.model import IPAddress, Router

LAG_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)  # seconds


class Histogram(Struct, frozen=True):
    """Cumulative counts per upper bound of LAG_BUCKETS, and of everything."""

    counts: tuple[int, ...] = (0,) * len(LAG_BUCKETS)
    count: int = 0
    total_seconds: float = 0.0


class Counters(Struct, frozen=True):
    """What was counted since the daemon started."""

    netlink_overruns: int = 0
    notify_lines: Mapping[str, int] = field(default_factory=dict)  # by outcome
    adverts_rejected: Mapping[str, int] = field(default_factory=dict)  # by reason
    web_refused: Mapping[str, int] = field(default_factory=dict)  # by reason


class Usage(Struct, frozen=True):
    """What this process takes of the machine; `started_at` in seconds since the epoch."""

    cpu_seconds: float = 0.0
    resident_bytes: float = 0.0
    open_descriptors: float = 0.0
    most_descriptors: float = 0.0
    started_at: float = 0.0


class Unprotected(Struct, frozen=True, order=True):
    """A router's namespace in which no keepalived runs: there is no state to speak of."""

    router: str
    namespace: str


class Oddity(StrEnum):
    """In what an advert of another node is not as it should be."""

    VERSION = "version"
    ADVERT_INT = "advert_int"
    VIRTUAL_ADDRESSES = "virtual_addresses"
    AUTHENTICATION = "authentication"
    HOP_LIMIT = "hop_limit"
    CHECKSUM = "checksum"


class OddAdvert(Struct, frozen=True):
    """The last advert with our VRID, from one source, that one of ours would not have sent."""

    interface: str
    source: IPAddress
    oddities: frozenset[Oddity]
    heard_at: float


class Node(Struct, frozen=True):
    """A snapshot. `now` is monotonic, `wall_now` the same moment in seconds since the epoch."""

    name: str
    version: str
    now: float
    wall_now: float
    started_at: float  # monotonic
    ready: bool = False
    draining: bool = False
    routers: Mapping[str, Router] = field(default_factory=dict)
    unprotected: tuple[Unprotected, ...] = ()
    odd_adverts: Mapping[str, tuple[OddAdvert, ...]] = field(default_factory=dict)  # by router
    history: History = field(default_factory=History)  # the one that goes on, no copy
    counters: Counters = field(default_factory=Counters)
    loop_lag: Histogram = field(default_factory=Histogram)
    config_reload_successful: bool = True
    config_reloaded_at: float = 0.0  # wall clock
    sources: tuple[str, ...] = ()
    stalled_sources: tuple[str, ...] = ()  # of these, those without progress: not healthy
    usage: Usage = field(default_factory=Usage)

    def wall(self, moment: float) -> float:
        """Seconds since the epoch of a monotonic moment."""
        return self.wall_now - (self.now - moment)
