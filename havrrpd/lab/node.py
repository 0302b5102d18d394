"""A node: network, mount, process and host name namespaces of its own, held by one process.

That process reads a pipe from the lab. When the lab ends, however it ends, the pipe closes, the
process ends as the first of its process namespace, and the kernel takes everything in it away.
Unless it was told to stay: then it is there until somebody kills it.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

from havrrpd.lab.client import get_json
from havrrpd.lab.process import Process, only_child
from havrrpd.lab.waiting import LabError
from havrrpd.netns import open_inside

T = TypeVar("T")

_NAMESPACES = ("--mount", "--net", "--pid", "--uts")

# Where no syslog runs, keepalived's lines go to the console: a serial one halts its CPU for 60 ms a
# transition (measured), longer than the distance of two priorities.
# With SIGCHLD ignored the kernel reaps the orphans of the node (dash's trap can't ignore it).
_INIT = """
mount -t proc proc /proc
mount -t sysfs sysfs /mnt
mount --rbind /sys/fs/cgroup /mnt/fs/cgroup
mount --move /mnt /sys
mount -t tmpfs -o mode=0755 tmpfs /run
mkdir /run/netns /run/lock
test ! -e /dev/console || mount --bind /dev/null /dev/console
echo "$1" > /proc/sys/kernel/hostname
ip link set lo up
echo ready
exec env --ignore-signal=CHLD cat > /dev/null
"""


class Node:
    """Made by the constructor, gone after `kill`; or with the lab's own process, but for `stay`."""

    def __init__(self, name: str, logs: Path) -> None:
        self.name = name
        self._logs = logs
        self._launchers: list[subprocess.Popen[bytes]] = []
        self._stays = False
        self._holder: subprocess.Popen[bytes] | None = _hold(name)
        try:
            self.init = Process(only_child(self._holder, self._holder.pid), logs)
            _wait_ready(self._holder)
        except BaseException:
            self._holder.kill()
            self._reap()
            raise

    @classmethod
    def found(cls, name: str, logs: Path, init: Process) -> Self:
        """One that stayed, by its first process."""
        node = cls.__new__(cls)
        node.name, node.init, node._logs = name, init, logs
        node._holder, node._launchers, node._stays = None, [], True
        return node

    @property
    def pid(self) -> int:
        return self.init.pid

    @property
    def alive(self) -> bool:
        return self.init.running

    def stay(self) -> None:
        """Do not end with the process that made it: from now on the node holds its own pipe."""
        if self._holder and not self._stays:
            self._stays = True
            command = self.enter(["sleep", "infinity"])
            output = self._holder.stdin
            holding = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            self._launchers.append(holding)

    def path(self, inside: str) -> Path:
        """Where an absolute path of the node is found from the host."""
        return Path(f"/proc/{self._living()}/root{inside}")

    def exec(self, argv: Sequence[str], stdin: str = "") -> str:
        """Run a command in the node and return what it printed; raises LabError if it fails."""
        done = subprocess.run(
            self.enter(argv),
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

    def inside(self, factory: Callable[[], T], namespace: str | None = None) -> T:
        """Call `factory` in the node's network, or in a named namespace on it.

        What it opens keeps that namespace there: close it before long.
        """
        path = Path(f"/proc/{self._living()}/ns/net")
        descriptor = os.open(
            self.path(f"/run/netns/{namespace}") if namespace else path, os.O_RDONLY
        )
        try:
            return open_inside(descriptor, factory)
        finally:
            os.close(descriptor)

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
                self.enter(argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                start_new_session=True,  # a Ctrl-C is for the lab alone
            )
        self._launchers.append(launcher)
        # nsenter, the shell, and then the process itself
        return Process(only_child(launcher, only_child(launcher, launcher.pid)), path)

    def kill(self, limit: float = 10.0) -> None:
        """End the node and everything in it, at once; returns when nothing of it runs.

        The kernel ends all the others before the first process is gone.
        """
        self.init.signal(signal.SIGKILL)
        self.init.wait(limit)
        self._reap()

    def status(self, router: str = "", timeout: float = 2.0) -> dict[str, Any]:
        """GET /status of the node's havrrpd, or what it says of one router.

        OSError or LabError when it does not answer, or does not know the router.
        """
        path = f"/status/{router}" if router else "/status"
        return get_json(self.path("/run/havrrpd/havrrpd.sock"), path, timeout)

    def enter(self, argv: Sequence[str]) -> list[str]:
        """The command that runs another one in the node."""
        return ["nsenter", "--target", str(self._living()), *_NAMESPACES, "--", *argv]

    def _living(self) -> int:
        """The pid of its first process; LabError when that is gone, and may be another's by now."""
        if not self.alive:
            raise LabError(f"{self.name} is dead")
        return self.pid

    def _reap(self) -> None:
        """Take leave of the processes outside that held the node and started what was in it."""
        for launcher in self._launchers:
            launcher.wait()
        if self._holder:
            with self._holder:  # closes the pipes and waits
                pass


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
