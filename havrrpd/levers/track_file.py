"""keepalived's track files: the integer through which havrrpd moves a router.

Written by rename only: keepalived reads a file written in place as 0 for a moment (3000 rewrites
of the same value: 112 spurious transitions in place, none by rename; keepalived 2.2.7).
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from pathlib import Path

import structlog

from havrrpd.core.priority import RESIGNING

MODE = 0o644
READ_LIMIT = 64  # bytes; a number that keepalived accepts has at most 11 digits
INT32 = range(-(2**31), 2**31)

_log = structlog.get_logger(__name__)

_NUMBER = re.compile(rb"[ \t\n\v\f\r]*([+-]?[0-9]+)")
_TEMPORARY = re.compile(r"\.havrrpd-[0-9a-f]{16}\.tmp")


def write(path: Path, value: int) -> None:
    """Replace the track file's value in one step. Raises OSError; then the old value stands."""
    temporary = path.parent / f".havrrpd-{secrets.token_hex(8)}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(temporary, flags, MODE)
    try:
        with open(fd, "wb", buffering=0) as file:
            os.fchmod(fd, MODE)  # whatever the umask: keepalived's user has to read it
            file.write(b"%d\n" % value)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read(path: Path) -> int | None:
    """The value as keepalived reads it: leading blanks, then digits, the rest ignored.

    None when the file is missing or holds no number, or one that keepalived ignores for its size.
    Raises OSError when it can't be read, or is anything but a regular file.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with open(fd, "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(f"{path}: not a regular file")
        return _number(file.read(READ_LIMIT))


def put_right_all(directory: Path) -> list[Path]:
    """Write 0 to every lever that a crash left at FAULT; returns those, in the order of names.

    Also removes the temporary files of a write that never ended. Symbolic links are left alone.
    What can't be put right is logged and left. Raises OSError when the directory can't be listed.
    """
    put_right = []
    for entry in sorted(os.scandir(directory), key=lambda entry: entry.name):
        try:
            if _put_right(entry):
                put_right.append(Path(entry.path))
        except OSError as error:
            _log.error("lever.put_right_failed", path=entry.path, error=str(error))
    return put_right


def _put_right(entry: os.DirEntry[str]) -> bool:
    path = Path(entry.path)
    if not entry.is_file(follow_symlinks=False):
        return False
    if _TEMPORARY.fullmatch(entry.name):
        path.unlink(missing_ok=True)
        return False
    value = read(path)
    if value is None or value > RESIGNING:
        return False
    write(path, 0)
    return True


def _number(text: bytes) -> int | None:
    found = _NUMBER.match(text)
    if found is None:
        return None
    value = int(found[1])
    return value if value in INT32 else None
