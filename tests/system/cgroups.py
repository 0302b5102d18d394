"""Control groups for what a test starts: below one of its own, and nothing of it stays."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from havrrpd.lab.waiting import wait_until

OWN = f"havrrpd-test-{os.getpid()}"
_MOUNTED = Path("/sys/fs/cgroup")
UNIFIED = (_MOUNTED / "cgroup.procs").exists()  # version 2 alone, as Debian 12 boots by itself


def hierarchies() -> list[Path]:
    """One of version 2, or those of version 1, with or without one of version 2 beside them."""
    return [
        path
        for path in (_MOUNTED, *_MOUNTED.iterdir())
        if (path == _MOUNTED) == UNIFIED and (path / "cgroup.procs").exists()
    ]


def remove() -> None:
    """The own ones, and those of a test that was killed."""
    for group in _of_tests():
        if group.name == OWN or not Path(f"/proc/{group.name.rpartition('-')[2]}").exists():
            wait_until(partial(_removed, group), 10.0, f"the end of {group}")


def _of_tests() -> Iterator[Path]:
    for hierarchy in hierarchies():
        yield from hierarchy.glob("havrrpd-test-*")


def _removed(group: Path) -> bool:
    """From the leaves up; OSError while a process is in one, and the last needs a moment to go."""
    for directory, _, _ in os.walk(group, topdown=False):
        os.rmdir(directory)
    return True
