"""A node: network, mount, process and host name namespaces of its own, held by one process.

That process reads a pipe from the lab. When the lab ends, however it ends, the pipe closes, the
process ends as the first of its process namespace, and the kernel takes everything in it away.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from havrrpd.lab.client import get_json
from havrrpd.lab.process import Process, children, only_child, send
from havrrpd.lab.waiting import LabError

_NAMESPACES = ("--mount", "--net", "--pid", "--uts")

# With SIGCHLD ignored the kernel reaps the orphans of the node (dash's trap can't ignore it).
_INIT = """
mount -t proc proc /proc
mount -t tmpfs -o mode=0755 tmpfs /run
mkdir /run/netns /run/lock
echo "$1" > /proc/sys/kernel/hostname
ip link set lo up
echo ready
exec env --ignore-signal=CHLD cat > /dev/null
"""


class Node:
    """Made by the constructor, gone after `kill` or with the lab's own process."""

    def __init__(self, name: str, logs: Path) -> None:
        self.name = name
        self._logs = logs
        self._launchers: list[subprocess.Popen[bytes]] = []
        self._holder = _hold(name)
        try:
            self.pid = only_child(self._holder, self._holder.pid)
            _wait_ready(self._holder)
        except BaseException:
            _end(self._holder)
            raise

    @property
    def alive(self) -> bool:
        return self._holder.poll() is None

    def path(self, inside: str) -> Path:
        """Where an absolute path of the node is found from the host."""
        return Path(f"/proc/{self.pid}/root{inside}")

    def exec(self, argv: Sequence[str], stdin: str = "") -> str:
        """Run a command in the node and return what it printed; raises LabError if it fails."""
        done = subprocess.run(
            self._enter(argv),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,
        )
        if done.returncode != 0:
            raise LabError(f"{self.name}: {' '.join(argv[:4])}: {done.stderr.strip()}")
        return done.stdout

    def shell(self, script: str) -> str:
        """Run a shell script in the node; it ends at the first command that fails."""
        return self.exec(["sh", "-eu"], stdin=script)

    def start(
        self, argv: Sequence[str], log: str, environment: Mapping[str, str] | None = None
    ) -> Process:
        """Start a process that goes on; what it prints is appended to `log` in the lab's logs."""
        path = self._logs / log
        # The shell between waits for the process itself: nsenter would stop when its child is
        # stopped, and then nobody would be left to reap it.
        argv = ["sh", "-c", '"$@"; exit $?', "sh", *argv]
        with path.open("ab") as output:
            launcher = subprocess.Popen(
                self._enter(argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                start_new_session=True,  # a Ctrl-C is for the lab alone
            )
        self._launchers.append(launcher)
        return Process(launcher, path)

    def kill(self) -> None:
        """End the node and everything in it, at once; returns when nothing of it runs."""
        _end(self._holder)
        for launcher in self._launchers:
            launcher.wait()

    def status(self, timeout: float = 2.0) -> dict[str, Any]:
        """GET /status of the node's havrrpd; raises OSError or LabError when it does not answer."""
        return get_json(self.path("/run/havrrpd/havrrpd.sock"), "/status", timeout)

    def _enter(self, argv: Sequence[str]) -> list[str]:
        return ["nsenter", "--target", str(self.pid), *_NAMESPACES, "--", *argv]


def _hold(name: str) -> subprocess.Popen[bytes]:
    command = ["unshare", *_NAMESPACES, "--fork", "--kill-child", "sh", "-euc", _INIT, "sh", name]
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _wait_ready(holder: subprocess.Popen[bytes]) -> None:
    assert holder.stdout is not None
    said = holder.stdout.readline()
    if said != b"ready\n":
        raise LabError(f"the node can't be made: {said.decode(errors='replace').strip()}")


def _end(holder: subprocess.Popen[bytes]) -> None:
    """Kill the first process; unshare follows when the kernel has ended all the others."""
    first = children(holder.pid) if holder.poll() is None else []
    for pid in first or [holder.pid]:
        send(pid, signal.SIGKILL)
    with holder:  # closes the pipes and waits
        pass
