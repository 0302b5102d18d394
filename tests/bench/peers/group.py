"""A cgroup: what all processes that were started in it take, also those that have ended."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from havrrpd.lab.process import send
from havrrpd.lab.waiting import wait_until

_SILENT = 0.1  # of one core
_END_LIMIT = 10.0


class Group:
    """A context manager; whoever is still in it at the end is killed.

    Counts in microseconds, where /proc counts in ticks of 10 ms for each process.
    """

    def __init__(self) -> None:
        self._path = _mount() / f"havrrpd-peers-{os.getpid()}"

    def __enter__(self) -> Self:
        self._path.mkdir()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.signal(signal.SIGKILL)
        wait_until(self._removed, _END_LIMIT, f"the end of all in {self._path}")

    @property
    def join(self) -> str:
        """A shell command: the shell is in the group from then on."""
        return f"echo 0 > {self._path}/cgroup.procs"

    def pids(self) -> list[int]:
        return [int(line) for line in (self._path / "cgroup.procs").read_text().split()]

    def signal(self, number: signal.Signals) -> None:
        for pid in self.pids():
            send(pid, number)

    def cpu(self) -> float:
        """Seconds, since the group was made."""
        words = (self._path / "cpu.stat").read_text().split()
        return int(words[words.index("usage_usec") + 1]) / 1e6

    def cpu_share(self, seconds: float) -> float:
        before, began = self.cpu(), time.monotonic()
        time.sleep(seconds)  # the measurement itself
        return (self.cpu() - before) / (time.monotonic() - began)

    def pss(self) -> float:
        """MB."""
        return sum(map(_pss, self.pids())) / 1024

    def _removed(self) -> bool:
        self._path.rmdir()
        return True


class Silence:
    """How long a group has done next to nothing; to be asked again and again."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._since = self._asked = time.monotonic()
        self._cpu = group.cpu()

    def seconds(self) -> float:
        now, cpu = time.monotonic(), self._group.cpu()
        if cpu - self._cpu > _SILENT * (now - self._asked):
            self._since = now
        self._asked, self._cpu = now, cpu
        return now - self._since


def _mount() -> Path:
    """Where the second version is mounted; the kernel counts there without any controller."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(where)
    raise OSError("no cgroup2 is mounted")


def _pss(pid: int) -> int:
    """KiB; 0 when it has ended."""
    with suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0
