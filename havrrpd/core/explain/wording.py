"""The small words of `explain`: durations, lists, causes, and how a missing stanza is mended."""

from __future__ import annotations

from collections.abc import Iterable

from havrrpd.core.lever import OWNER
from havrrpd.core.model import Cause, Router

REASONS = {
    Cause.GATEWAY_LOST: "its gateways were lost",
    Cause.LINK_DOWN: "a link went down",
    Cause.KEEPALIVED_STOPPED: "keepalived was stopped",
    Cause.KEEPALIVED_DIED: "keepalived died",
    Cause.PEER_RESIGNED: "the MASTER before it resigned",
    Cause.PEER_SILENT: "the MASTER before it fell silent",
    Cause.PREEMPTED: "another MASTER had a priority not below its own",
    Cause.DRAINED: "this node was drained",
    Cause.FAILOVER_REQUESTED: "an operator asked for a failover",
    Cause.STARTED: "keepalived started",
    Cause.ADDRESS_REMOVED: "a virtual address was taken away",
    Cause.UNKNOWN: "nothing that was seen explains it",
}
_UNITS = ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))


def duration(seconds: float) -> str:
    """As 0.4 s, 12 s, 3 min 20 s; what is over is 0 s."""
    seconds = max(0.0, seconds)
    if seconds < 1:
        return f"{seconds:.2f}".rstrip("0").rstrip(".") + " s"
    if seconds < 10:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    whole = round(seconds)
    for size, unit, small_size, small_unit in _UNITS:
        if whole >= size:
            rest = whole % size // small_size
            return f"{whole // size} {unit}" + (f" {rest} {small_unit}" if rest else "")
    return f"{whole} s"


def upcoming(due: float, now: float) -> str:
    return f"in {duration(due - now)}" if due > now else "now"


def counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def listing(words: Iterable[str]) -> str:
    """As a, b and c."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def mend_lever(router: Router) -> str:
    """What gives a router the lever that its loaded configuration lacks."""
    if any(instance.config.priority == OWNER for instance in router.instances):
        return f"keepalived never lowers priority {OWNER}: set {OWNER - 1} or less"
    return add_stanza(router)


def add_stanza(router: Router) -> str:
    """What mends a lever or a FIFO that the loaded configuration does not name."""
    return f"add what `havrrpd keepalived stanza {router.id}` prints, and reload keepalived"
