"""A process inside a node, known by its pid on the host."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from havrrpd.lab.waiting import LabError, wait_until

CHILD_LIMIT = 30.0  # seconds: a machine that just took a thousand namespaces down is slow


class Process:
    """Anybody's process, also one that another command of the lab has started.

    `started` tells it from a later process with the same pid: its 22nd word in /proc/PID/stat.
    """

    def __init__(self, pid: int, log: Path, started: int | None = None) -> None:
        self.pid = pid
        self.log = log
        self.started = _seen(pid) if started is None else started

    @property
    def running(self) -> bool:
        return self.started != _GONE and _seen(self.pid) == self.started

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; does nothing when the process is gone."""
        if self.running:
            send(self.pid, number)

    def wait(self, limit: float) -> None:
        """Wait for its end; raises LabError after `limit` seconds."""
        wait_until(lambda: not self.running, limit, f"the end of process {self.pid}")


_GONE = -1


def _seen(pid: int) -> int:
    """When a process started; _GONE when nothing of it is left, not even to be reaped."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (FileNotFoundError, ProcessLookupError):
        return _GONE


def send(pid: int, number: signal.Signals) -> None:
    """kill(2), where a process that has just ended is no error."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def children(pid: int) -> list[int]:
    """The pids of a process's children; none when it is gone."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def only_child(launcher: subprocess.Popen[bytes], pid: int) -> int:
    """Wait for the child of `pid`; raises LabError when `launcher` ends before there is one."""

    def child() -> int | str | None:
        found = children(pid)
        if found:
            return found[0]
        return "ended" if launcher.poll() is not None else None

    value = wait_until(child, CHILD_LIMIT, f"a child of process {pid}")
    if isinstance(value, int):
        return value
    raise LabError(f"the process ended at once with {launcher.returncode}: {launcher.args!r}")
