"""Which capabilities the daemon needs, capabilities(7), and which a process has."""

from __future__ import annotations

import re
from pathlib import Path

NEEDED = {  # by bit: the name, and what does not work without it
    11: ("CAP_NET_BROADCAST", "events of all network namespaces"),
    12: ("CAP_NET_ADMIN", "listing the addresses of a namespace"),
    13: ("CAP_NET_RAW", "adverts and gateway probes"),
    19: ("CAP_SYS_PTRACE", "finding keepalived's processes"),
    21: ("CAP_SYS_ADMIN", "entering a network namespace"),
}


def effective(pid: int | None = None) -> int | None:
    """The bit mask of a process, by default of this one; None when it can't be seen."""
    try:
        text = Path("/proc", "self" if pid is None else str(pid), "status").read_text()
    except OSError:
        return None
    found = re.search(r"(?m)^CapEff:\s*([0-9a-f]+)$", text)
    return None if found is None else int(found[1], 16)


def missing(mask: int) -> dict[str, str]:
    """The needed capabilities that are not in the mask, and what each is for."""
    return {name: purpose for bit, (name, purpose) in NEEDED.items() if not mask >> bit & 1}
