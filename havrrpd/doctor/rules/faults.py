"""Faults of keepalived's releases that matter here, each with the place where it is described.

The releases are those of keepalived's repository: `first` is the oldest that has the fault, `fixed`
the first without it. A distribution can have mended its package without a new number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from havrrpd.doctor.facts import Facts, Keepalived, Version
from havrrpd.doctor.findings import Finding, Kind, Level, router

_REPOSITORY = "https://github.com/acassen/keepalived"
_NEUTRON_GUIDE = "https://docs.openstack.org/neutron/stein/admin"
_NEUTRON_NOTE = (
    "https://github.com/openstack/neutron/blob/master/releasenotes/notes/"
    "sending-garp-for-l3-ha-c118871833ad8743.yaml"
)


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault, whom it concerns, and where to read of it."""

    name: str
    level: Level
    first: Version
    fixed: Version
    what: str
    source: str
    concerns: Callable[[Keepalived], bool]

    @property
    def kind(self) -> Kind:
        span = f"before {_text(self.fixed)}"
        if self.first > (0, 0, 0):
            span = f"from {_text(self.first)}, {span}"
        when = f"keepalived {span}: {self.what} ({self.source})."
        return Kind(self.name, self.level, when, _upgrade(self.fixed))


def _upgrade(fixed: Version) -> str:
    return (
        f"upgrade keepalived to {_text(fixed)} or later, unless your distribution mended its "
        "package, and restart it, on BACKUP nodes first"
    )


def _always(_process: Keepalived) -> bool:
    return True


def _has_nopreempt(process: Keepalived) -> bool:
    return any(not instance.preempt for instance in process.config.instances)


def _has_virtual_routes(process: Keepalived) -> bool:
    return any(instance.virtual_routes for instance in process.config.instances)


def _has_static_routes(process: Keepalived) -> bool:
    return process.config.static_routes


def _has_lever(process: Keepalived) -> bool:
    return bool(process.levers)


def _initializes_its_lever(process: Keepalived) -> bool:
    ours = {lever.path for lever in process.levers}
    return any(
        file.path in ours and file.initial is not None for file in process.config.track_files
    )


def _text(version: Version) -> str:
    return ".".join(str(part) for part in version)


FAULTS = (
    Fault(
        "keepalived_loses_packets",
        Level.FAIL,
        (0, 0, 0),
        (1, 2, 16),
        "it loses packets where more than two nodes have a router",
        f"{_NEUTRON_GUIDE}/deploy-lb-ha-vrrp.html",
        _always,
    ),
    Fault(
        "keepalived_ignores_nopreempt",
        Level.FAIL,
        (1, 2, 13),
        (1, 2, 14),
        "it takes the role back in spite of nopreempt",
        f"{_REPOSITORY}/issues/115",
        _has_nopreempt,
    ),
    Fault(
        "keepalived_sends_no_arp_after_reload",
        Level.WARN,
        (0, 0, 0),
        (1, 2, 20),
        "it sends no gratuitous ARP after a SIGHUP, so neighbours keep a wrong address",
        _NEUTRON_NOTE,
        _always,
    ),
    Fault(
        "keepalived_has_no_track_files",
        Level.WARN,
        (0, 0, 0),
        (2, 0, 0),
        "it knows no track files, so havrrpd can watch its routers and can't move them",
        f"{_REPOSITORY}/commit/04bedcb8",
        _always,
    ),
    Fault(
        "keepalived_crashes_by_default_route",
        Level.FAIL,
        (2, 0, 1),
        (2, 0, 8),
        "it crashes when a default route appears and it has virtual routes",
        f"{_REPOSITORY}/commit/069a039d",
        _has_virtual_routes,
    ),
    Fault(
        "keepalived_keeps_old_priority",
        Level.WARN,
        (2, 0, 0),
        (2, 0, 20),
        "it leaves FAULT with the priority of before, so a node that had its turn does not stand "
        "behind the others",
        f"{_REPOSITORY}/issues/1460",
        _has_lever,
    ),
    Fault(
        "keepalived_wants_old_keyword",
        Level.WARN,
        (2, 0, 0),
        (2, 1, 0),
        "it does not know the keyword track_file at the top level, only vrrp_track_file",
        f"{_REPOSITORY}/commit/7d88a351",
        _always,
    ),
    Fault(
        "keepalived_crashes_after_reload",
        Level.WARN,
        (2, 0, 0),
        (2, 1, 0),
        "it can crash at any time after a SIGHUP, and the role moves",
        f"{_REPOSITORY}/pull/1566",
        _always,
    ),
    Fault(
        "keepalived_loses_virtual_routes",
        Level.WARN,
        (0, 0, 0),
        (2, 2, 0),
        "a reload that changes an address can lose the virtual routes behind it",
        f"{_REPOSITORY}/issues/1719",
        _has_virtual_routes,
    ),
    Fault(
        "keepalived_crashes_by_static_routes",
        Level.WARN,
        (2, 0, 1),
        (2, 2, 8),
        "it crashes at a reload, or when a default route appears, and it has static_routes",
        f"{_REPOSITORY}/issues/2360",
        _has_static_routes,
    ),
    Fault(
        "keepalived_overwrites_lever",
        Level.WARN,
        (2, 2, 8),
        (2, 3, 3),
        "it writes the value of init_file over the track file at each start, so for a moment a "
        "restarted node is not behind the others, and not drained",
        f"{_REPOSITORY}/commit/3f386640",
        _initializes_its_lever,
    ),
)
VERSION_UNREAD = Kind(
    "keepalived_version_unread",
    Level.NOTE,
    "The executable of a keepalived does not say its version, so known faults can't be named.",
    "compare `keepalived --version` with the table in docs/doctor.md",
)
_KINDS = tuple(fault.kind for fault in FAULTS)
KINDS = (*_KINDS, VERSION_UNREAD)


def findings(facts: Facts) -> Iterator[Finding]:
    for process in facts.keepalived:
        where = router(process.router)
        if process.version is None:
            yield VERSION_UNREAD.at(where, "the version of its keepalived can't be read")
            continue
        for fault, kind in zip(FAULTS, _KINDS, strict=True):
            if fault.first <= process.version < fault.fixed and fault.concerns(process):
                yield kind.at(where, f"keepalived {_text(process.version)}: {fault.what}")
