"""Paths of keepalived's configuration, as that keepalived sees them."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from havrrpd.doctor.facts import Fifo, FileId, Is, Lever

_WATCH = re.compile(r"(?m)^inotify wd:\S+ ino:([0-9a-f]+)")
_KINDS = (
    (stat.S_ISREG, Is.FILE),
    (stat.S_ISFIFO, Is.FIFO),
    (stat.S_ISLNK, Is.LINK),
    (stat.S_ISDIR, Is.DIRECTORY),
)


def lever(path: str, root: Path, watched: frozenset[int] | None, havrrpd: Path | None) -> Lever:
    """`root` is keepalived's, `havrrpd` that of havrrpd; `watched` are inodes."""
    directory = _directory(path, root)
    return Lever(
        path,
        directory,
        None if watched is None or directory is None else directory[1] in watched,
        _kind(_lstat(path, root)),
        _is_shared(path, directory, havrrpd),
    )


def fifo(path: str, user: int | None, root: Path, pid: int, havrrpd: Path | None) -> Fifo:
    directory, found = _directory(path, root), _lstat(path, root)
    own = None if found is None else (found.st_dev, found.st_ino)
    return Fifo(
        path,
        directory is not None,
        _kind(found),
        own,
        None if found is None else found.st_uid,
        user,
        None if own is None else _has_open(pid, own),
        _is_shared(path, directory, havrrpd),
    )


def inotify(pid: int) -> tuple[bool, frozenset[int]] | None:
    """Whether a process has an inotify descriptor, and the inodes that it watches.

    A directory that was removed is no longer among them, so an inode says enough.
    """
    try:
        texts = list(_inotify_texts(pid))
    except OSError:
        return None
    return bool(texts), frozenset(int(each, 16) for text in texts for each in _WATCH.findall(text))


def _inotify_texts(pid: int) -> Iterator[str]:
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            if os.readlink(f"/proc/{pid}/fd/{name}") == "anon_inode:inotify":
                yield Path(f"/proc/{pid}/fdinfo/{name}").read_text()
        except FileNotFoundError:  # it was closed
            continue


def _inside(path: str, root: Path) -> Path:
    return root / path.lstrip("/")


def _directory(path: str, root: Path) -> FileId | None:
    try:
        found = _inside(path, root).parent.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISDIR(found.st_mode) else None


def _lstat(path: str, root: Path) -> os.stat_result | None:
    try:
        return _inside(path, root).lstat()
    except OSError:
        return None


def _kind(found: os.stat_result | None) -> Is:
    if found is None:
        return Is.MISSING
    return next((kind for test, kind in _KINDS if test(found.st_mode)), Is.OTHER)


def _is_shared(path: str, directory: FileId | None, havrrpd: Path | None) -> bool | None:
    if directory is None or havrrpd is None:
        return None
    return _directory(path, havrrpd) == directory


def _has_open(pid: int, wanted: FileId) -> bool | None:
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return None
    return any(_id(f"/proc/{pid}/fd/{name}") == wanted for name in names)


def _id(path: str) -> FileId | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
