"""What is kept of each router that is watched, and of each of its VRRP interfaces."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from havrrpd.core.model import InstanceConfig
from havrrpd.sources.adverts.meaning import Instances, Meanings
from havrrpd.sources.adverts.tap import Tap

MINUTE = 60.0
_FIRST_RETRY, _LAST_RETRY = 0.1, 5.0

# A network with hundreds of routers brings each of them the adverts of all. So a tap hands up
# this many packets to reject in a minute; for the rest of it the kernel passes the own VRIDs only.
_REJECTED_PER_MINUTE = 16


@dataclass(slots=True, eq=False)
class Watch:
    """One router."""

    router: str
    netns: Path
    wires: dict[str, Wire] = field(default_factory=dict)  # by interface
    namespace: tuple[int, int] | None = None  # device and inode of what is tapped
    check_at: float = 0.0
    told: bool | None = None  # the last WireWatched; None: say it in any case
    complained: dict[str, float] = field(default_factory=dict)  # of what, and when

    @property
    def is_watched(self) -> bool | None:
        """Whether all wires are tapped; None: one of them was not tried yet."""
        if not all(wire.tried for wire in self.wires.values()):
            return None
        return all(wire.tap is not None for wire in self.wires.values())

    def may_complain(self, of: str, now: float) -> bool:
        """Whether to log this: the first of each kind, then one a minute."""
        if now - self.complained.get(of, float("-inf")) < MINUTE:
            return False
        self.complained[of] = now
        return True


@dataclass(slots=True, eq=False)
class Wire:
    """One VRRP interface of one router, and the tap on it while there is one."""

    watch: Watch
    interface: str
    instances: Instances
    tap: Tap | None = None
    tried: bool = False
    retry_at: float = 0.0
    retry_delay: float = _FIRST_RETRY
    narrowed: bool = False
    rejected: int = 0  # since `rejecting_since`
    rejecting_since: float = float("-inf")
    meanings: Meanings = field(init=False)

    def __post_init__(self) -> None:
        self.meanings = Meanings(self.interface, self.instances)

    def open(self, now: float) -> None:
        """Open the tap. Raises OSError, and is due again after a back-off then."""
        self.tried = True
        self.retry_at = now + self.retry_delay
        self.retry_delay = min(self.retry_delay * 2, _LAST_RETRY)
        self.tap, self.watch.namespace = _open_tap(self.watch.netns, self.interface)
        self.retry_delay = _FIRST_RETRY

    def retry_now(self) -> None:
        self.retry_at, self.retry_delay = 0.0, _FIRST_RETRY

    def close(self) -> None:
        if self.tap is not None:
            self.tap.close()
        self.tap, self.narrowed, self.rejected = None, False, 0

    def want(self, instances: Instances) -> None:
        self.instances = instances
        self.meanings = Meanings(self.interface, instances)
        if self.narrowed and self.tap is not None:
            self.tap.narrow(frozenset(instances))

    def count_rejected(self, now: float) -> None:
        """Have the kernel hold back what is not ours, once there was enough of it."""
        if now - self.rejecting_since >= MINUTE:
            self.rejecting_since, self.rejected = now, 0
        self.rejected += 1
        if self.rejected == _REJECTED_PER_MINUTE and self.tap is not None:
            self.tap.narrow(frozenset(self.instances))
            self.narrowed = True

    def widen_if_due(self, now: float) -> None:
        if self.narrowed and self.tap is not None and now - self.rejecting_since >= MINUTE:
            self.tap.widen()
            self.narrowed = False


def by_interface(instances: tuple[InstanceConfig, ...]) -> dict[str, Instances]:
    """The wires that these instances need."""
    found: dict[str, dict[int, tuple[InstanceConfig, ...]]] = {}
    for instance in instances:
        of_vrid = found.setdefault(instance.interface, {})
        of_vrid[instance.vrid] = (*of_vrid.get(instance.vrid, ()), instance)
    return dict(found)


def identity(netns: Path) -> tuple[int, int] | None:
    """Which namespace is behind this path now; None: none."""
    try:
        status = netns.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _open_tap(netns: Path, interface: str) -> tuple[Tap, tuple[int, int]]:
    """An open tap and the identity of the namespace that it is in."""
    descriptor = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        return Tap(descriptor, interface), (status.st_dev, status.st_ino)
    finally:
        os.close(descriptor)
