"""What a process uses, and pure: whether it uses more and more."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

MB = 1e6
HOUR = 3600.0
MOST_AN_HOUR = 1.0  # MB
POOLS = 48  # threads: 32 of havrrpd.closing and a few others, each started when it is needed first
COARSE = 0.3  # MB: the allocator's steps, which a run of minutes can't tell from a leak


@dataclass(frozen=True, slots=True)
class Usage:
    """At one moment: `at` in seconds; memory that is the process's own, without its files."""

    at: float
    memory: float  # MB
    descriptors: int
    threads: int
    namespaces: int  # network namespaces that its descriptors hold
    tasks: int
    blocks: int = (
        0  # of memory that Python gave out: what a leak adds to, and the allocator does not
    )


def usage(at: float, pid: int, tasks: int, blocks: int = 0) -> Usage:
    """Raises OSError when the process is gone. /proc/PID/status is late by up to 32 pages a CPU."""
    status = Path(f"/proc/{pid}/status").read_text()
    memory = Path(f"/proc/{pid}/smaps_rollup").read_text()
    links = [_link(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")]
    anonymous = re.search(r"^Anonymous:\s+(\d+) kB", memory, re.M)
    threads = re.search(r"^Threads:\s+(\d+)", status, re.M)
    assert anonymous
    assert threads
    return Usage(
        at,
        int(anonymous[1]) * 1024 / MB,
        len(links),
        int(threads[1]),
        sum(link.startswith("net:[") for link in links),
        tasks,
        blocks,
    )


def growth(used: Sequence[Usage]) -> float:
    """MB an hour: the slope of the straight line that fits best."""
    at, memory = [u.at for u in used], [u.memory for u in used]
    middle, mean = fmean(at), fmean(memory)
    spread = sum((t - middle) ** 2 for t in at)
    if not spread:
        return 0.0
    pairs = zip(at, memory, strict=True)
    return sum((t - middle) * (m - mean) for t, m in pairs) / spread * HOUR


def leaks(used: Sequence[Usage], before: Usage, after: Usage) -> list[str]:
    """What grew: memory over `used`, all else between two moments at rest."""
    found = []
    hours = (used[-1].at - used[0].at) / HOUR
    third = max(1, len(used) // 3)
    first, last = used[:third], used[-third:]
    grown = median(u.memory for u in last) - median(u.memory for u in first)
    if grown > MOST_AN_HOUR * hours * 2 / 3 + COARSE:  # the middles of the thirds are that apart
        found.append(f"memory: {growth(used):.2f} MB an hour")
    for name in ("descriptors", "threads", "namespaces", "tasks"):
        was, now = getattr(before, name), getattr(after, name)
        if now > (max(was, POOLS) if name == "threads" else was):
            found.append(f"{name}: {was} before, {now} after")
    return found


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except FileNotFoundError:  # closed since it was listed
        return ""
