"""Limits of the kernel and how much of them is used."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

from havrrpd.doctor.facts import Kernel, Neighbours

_NEIGHBOURS = {"ipv4": "arp_cache", "ipv6": "ndisc_cache"}
_UID = re.compile(r"(?m)^Uid:\s+\d+\s+(\d+)")


def look(proc: Path = Path("/proc")) -> Kernel:
    found = {family: _neighbours(proc, family, name) for family, name in _NEIGHBOURS.items()}
    return Kernel(
        inotify_limit=_number(proc / "sys/fs/inotify/max_user_instances"),
        inotify_used=_inotify_used(proc),
        neighbours={family: table for family, table in found.items() if table is not None},
        interfaces=frozenset(name for _, name in socket.if_nameindex()),
    )


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _inotify_used(proc: Path) -> int | None:
    """By root's processes; None for one who may not look at them."""
    if os.geteuid() != 0:
        return None
    return sum(_instances(proc / name) for name in os.listdir(proc) if name.isdecimal())


def _instances(process: Path) -> int:
    try:
        owner = _UID.search((process / "status").read_text())
        if owner is None or owner[1] != "0":
            return 0
        names = os.listdir(process / "fd")
    except OSError:  # it ended
        return 0
    return sum(_link(f"{process}/fd/{name}") == "anon_inode:inotify" for name in names)


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:  # it was closed
        return ""


def _neighbours(proc: Path, family: str, name: str) -> Neighbours | None:
    """Only the host's own network namespace shows them."""
    limit = _number(proc / f"sys/net/{family}/neigh/default/gc_thresh3")
    try:
        text = (proc / "net/stat" / name).read_text()
    except OSError:
        return None
    return None if limit is None else Neighbours(limit, count_refused(text))


def count_refused(text: str) -> int:
    """The column table_fulls of /proc/net/stat/arp_cache, hexadecimal, over all CPUs."""
    heads, *rows = (line.split() for line in text.splitlines())
    if "table_fulls" not in heads:
        return 0
    column = heads.index("table_fulls")
    return sum(int(row[column], 16) for row in rows if len(row) > column)
