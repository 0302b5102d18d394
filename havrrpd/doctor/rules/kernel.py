"""Limits of the kernel that are the same for three routers and too small for three hundred."""

from __future__ import annotations

from collections.abc import Iterator

from havrrpd.doctor.facts import Facts
from havrrpd.doctor.findings import NODE, Finding, Kind, Level, router

INOTIFY_EXHAUSTED = Kind(
    "inotify_exhausted",
    Level.FAIL,
    "A keepalived has a track file and no inotify instance to watch it with: it never looks at "
    "the file again, so havrrpd can't move that router.",
    "raise the sysctl fs.inotify.max_user_instances to 8192 (see the README), then restart this "
    "keepalived, on BACKUP nodes first",
)
INOTIFY_LOW = Kind(
    "inotify_low",
    Level.WARN,
    "Root uses more than four fifths of its inotify instances; each keepalived needs one.",
    "raise the sysctl fs.inotify.max_user_instances to 8192 (see the README)",
)
NEIGHBOURS_LOW = Kind(
    "neighbours_low",
    Level.WARN,
    "The kernel keeps fewer neighbours, for all namespaces together, than ten for each router: "
    "when they are used up, gateways look lost.",
    "raise the sysctls net.ipv4.neigh.default.gc_thresh3 and net.ipv6.neigh.default.gc_thresh3 to "
    "16384 (see the README)",
)
NEIGHBOURS_REFUSED = Kind(
    "neighbours_refused",
    Level.NOTE,
    "Since the last boot the kernel's neighbour table was full at some time.",
    "watch it: `ip -s neigh` and table_fulls in /proc/net/stat/arp_cache; if it grows, raise "
    "gc_thresh3 (see the README)",
)

KINDS = (INOTIFY_EXHAUSTED, INOTIFY_LOW, NEIGHBOURS_LOW, NEIGHBOURS_REFUSED)

_ENOUGH = 0.8
PER_ROUTER = 10  # neighbours: its gateways, and some of its clients


def findings(facts: Facts) -> Iterator[Finding]:
    for process in facts.keepalived:
        if process.levers and process.watches_files is False:
            text = "its keepalived does not watch its track file, so havrrpd can't move it"
            yield INOTIFY_EXHAUSTED.at(router(process.router), text)
    yield from _inotify(facts)
    yield from _neighbours(facts)


def _inotify(facts: Facts) -> Iterator[Finding]:
    used, limit = facts.kernel.inotify_used, facts.kernel.inotify_limit
    if used is not None and limit is not None and used > _ENOUGH * limit:
        yield INOTIFY_LOW.at(NODE, f"{used} of {limit} inotify instances are used")


def _neighbours(facts: Facts) -> Iterator[Finding]:
    count = max(len(facts.keepalived), len(facts.routers))
    for family, table in sorted(facts.kernel.neighbours.items()):
        refused = f", and {table.refused} were refused since the boot" if table.refused else ""
        if table.limit < PER_ROUTER * count:
            text = f"{table.limit} {family} neighbours are kept, for {_routers(count)}{refused}"
            yield NEIGHBOURS_LOW.at(NODE, text)
        elif table.refused:
            text = f"{table.refused} {family} neighbours were refused since the boot"
            yield NEIGHBOURS_REFUSED.at(NODE, text)


def _routers(count: int) -> str:
    return "1 router" if count == 1 else f"{count} routers"
