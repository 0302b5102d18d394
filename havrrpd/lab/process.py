"""A process inside a node, known by its pid on the host."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from havrrpd.lab.waiting import LabError, wait_until


class Process:
    """Started through `nsenter` and a shell, which both end when it ends."""

    def __init__(self, launcher: subprocess.Popen[bytes], log: Path) -> None:
        """`launcher` is nsenter; its child is the shell, whose child is the process itself."""
        self._launcher = launcher
        self.log = log
        self.pid = only_child(launcher, only_child(launcher, launcher.pid))

    @property
    def running(self) -> bool:
        return self._launcher.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; does nothing when the process is gone."""
        if self.running:
            send(self.pid, number)

    def wait(self, limit: float) -> None:
        """Wait for its end; raises LabError after `limit` seconds."""
        wait_until(lambda: not self.running, limit, f"the end of process {self.pid}")


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

    value = wait_until(child, 5.0, f"a child of process {pid}")
    if isinstance(value, int):
        return value
    raise LabError(f"the process ended at once with {launcher.returncode}: {launcher.args!r}")
