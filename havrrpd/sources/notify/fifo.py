"""A notify FIFO as a file: made, told from another one, opened, and looked for in a process."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path

FifoId = tuple[int, int]  # device and inode


def prepare(path: Path) -> bool:
    """Make the FIFO where nothing is, before keepalived starts; True if it was made.

    A FIFO that is made while keepalived runs is not heard of before its reload. Raises OSError,
    also when the directory is missing.
    """
    try:
        os.mkfifo(path, 0o600)
    except FileExistsError:
        return False
    return True


def open_fifo(file: Path) -> tuple[int, FifoId]:
    """Open for reading, and never see the end of it. Raises OSError if it is not a FIFO."""
    fifo_id(file)  # opening a device, to find out that it is one, can have effects
    fd = os.open(file, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    info = os.fstat(fd)
    if not stat.S_ISFIFO(info.st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a FIFO")
    return fd, (info.st_dev, info.st_ino)


def fifo_id(file: Path) -> FifoId:
    """Which FIFO is at the path now. Raises OSError where there is none."""
    info = os.lstat(file)
    if stat.S_ISLNK(info.st_mode):
        raise OSError(errno.ELOOP, "a symbolic link, not a FIFO")
    if not stat.S_ISFIFO(info.st_mode):
        raise OSError(errno.EINVAL, "not a FIFO")
    return info.st_dev, info.st_ino


def holds(pid: int | None, fifo: FifoId) -> bool:
    """Whether the process has the FIFO open; nothing is held against one that can't be asked."""
    if pid is None:
        return True
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except PermissionError:
        return True
    except OSError:
        return False
    return any(_is(f"/proc/{pid}/fd/{name}", fifo) for name in names)


def _is(file: str, fifo: FifoId) -> bool:
    try:
        info = os.stat(file)
    except OSError:
        return False
    return (info.st_dev, info.st_ino) == fifo


def capacity(fd: int) -> int:
    """Bytes that fit into the pipe."""
    return fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ)
