"""The configuration that a keepalived process loaded: where it is, if it changed, what it says.

keepalived keeps a copy of what it read in memory. Older ones (before 2.2.0) don't: there the file
of `-f` is read, and may be newer than what keepalived works with.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from glob import glob
from pathlib import Path

from havrrpd.core.model import KeepalivedConfig
from havrrpd.sources.keepalived.conf import DEFAULT_PATH, parse
from havrrpd.sources.keepalived.proc import Proc

Stamp = tuple[int, int, int, int]

MAX_BYTES = 4 * 1024 * 1024
MAX_ALTERNATIVES = 1000


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """`file` is where to read; `path` what the file is called where keepalived runs."""

    file: Path
    path: str
    root: Path
    config_id: str
    consolidated: bool = False

    def stamp(self) -> Stamp | None:
        """Changes when the text does; None when it can't be read."""
        try:
            found = os.stat(self.file)
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

    def read(self) -> KeepalivedConfig:
        """Raises OSError."""
        return parse(
            _read(self.file),
            config_id=self.config_id,
            path=self.path,
            include=Files(self.root),
            consolidated=self.consolidated,
        )


def locate(proc: Proc, pid: int, main: int | None) -> LoadedConfig:
    """Of the VRRP process `pid` and its main process. Raises OSError when it is gone."""
    command_line = proc.command_line(pid)
    directory = os.readlink(proc.path / str(pid) / "cwd")
    path = os.path.join(directory, command_line.config_file or DEFAULT_PATH)
    config_id = command_line.config_id or default_config_id()
    root = proc.path / str(pid) / "root"
    copy = proc.memory_copy(pid) or (proc.memory_copy(main) if main is not None else None)
    if copy is not None:
        return LoadedConfig(copy, path, root, config_id, consolidated=True)
    return LoadedConfig(_inside(root, path), path, root, config_id)


def on_disk(path: Path) -> LoadedConfig:
    """Of a keepalived that does not run."""
    return LoadedConfig(path, str(path), Path("/"), default_config_id())


def default_config_id() -> str:
    """keepalived's own default for `-i`."""
    return os.uname().nodename.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Files:
    """The files that an `include` names, as seen from a process with that root directory."""

    root: Path

    def __call__(self, pattern: str) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        for alternative in _alternatives(pattern):
            for name in sorted(glob(str(_inside(self.root, alternative)))):
                path = Path(name)
                try:
                    if path.is_file():
                        found.append((f"/{path.relative_to(self.root)}", _read(path)))
                except OSError:
                    # keepalived goes on without it too, and the empty result is counted
                    continue
        return found


def _inside(root: Path, path: str) -> Path:
    return root / path.lstrip("/")


def _read(path: Path) -> str:
    """Does not wait, as opening a FIFO would. Raises OSError, also for more than MAX_BYTES."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return content.decode(errors="replace")


def _alternatives(pattern: str) -> list[str]:
    """csh braces: `a{b,c{d,e}}` is ab, acd, ace."""
    done: list[str] = []
    pending = [pattern]
    while pending and len(done) + len(pending) < MAX_ALTERNATIVES:
        text = pending.pop(0)
        if (inner := _innermost(text)) is None:
            done.append(text)
        else:
            opening, closing = inner
            parts = text[opening + 1 : closing].split(",")
            pending[:0] = [text[:opening] + part + text[closing + 1 :] for part in parts]
    return list(dict.fromkeys(done))


def _innermost(text: str) -> tuple[int, int] | None:
    """The first brace that closes, and the one that it closes."""
    closing = text.find("}")
    opening = text.rfind("{", 0, closing) if closing >= 0 else -1
    return (opening, closing) if opening >= 0 else None


def namespaces(netns_dir: Path) -> Iterator[tuple[tuple[int, int], str]]:
    """The named network namespaces: (device, inode) and name."""
    try:
        names = os.listdir(netns_dir)
    except OSError:
        return
    for name in sorted(names):
        try:
            found = os.stat(netns_dir / name)
        except OSError:
            # deleted since it was listed
            continue
        yield (found.st_dev, found.st_ino), name
