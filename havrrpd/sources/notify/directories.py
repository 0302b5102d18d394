"""The directories in which FIFOs lie: one look at each tells whether any of them was remade."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

DirectoryId = tuple[int, int]  # device and inode

GRAIN = 50_000_000  # ns: two changes can have one time stamp, of the kernel's last tick


@dataclass(slots=True)
class _Directory:
    fd: int
    users: int = 0
    stamp: int | None = None  # when something was made or removed in it; None: look again


class Directories:
    """Each is open as long as somebody uses it."""

    def __init__(self) -> None:
        self._open: dict[DirectoryId, _Directory] = {}

    def use(self, path: Path) -> DirectoryId:
        """Follow one more FIFO in that directory, until `leave`. Raises OSError."""
        fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        info = os.fstat(fd)
        found = info.st_dev, info.st_ino
        if found in self._open:
            os.close(fd)
        directory = self._open.setdefault(found, _Directory(fd))
        directory.users += 1
        directory.stamp = None
        return found

    def leave(self, directory_id: DirectoryId) -> None:
        directory = self._open[directory_id]
        directory.users -= 1
        if not directory.users:
            os.close(directory.fd)
            del self._open[directory_id]

    def changed(self) -> set[DirectoryId]:
        """Those in which something may have been made or removed since the last call."""
        return {found for found, directory in self._open.items() if _has_changed(directory)}


def _has_changed(directory: _Directory) -> bool:
    stamp, before = os.fstat(directory.fd).st_mtime_ns, directory.stamp
    directory.stamp = stamp if stamp < time.time_ns() - GRAIN else None
    return stamp != before
