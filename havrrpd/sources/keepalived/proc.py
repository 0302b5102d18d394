"""What /proc says of a process. Every reader raises OSError when the process is gone."""

from __future__ import annotations

import getopt
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from havrrpd.sources.keepalived.listeners import link_listeners

Netns = tuple[int, int]  # device and inode

_KTHREADD = 2
_TICKS = os.sysconf("SC_CLK_TCK")
_SOCKET = re.compile(r"socket:\[(\d+)\]")
_MEMORY_COPY = "/memfd:/keepalived/consolidated_configuration"

# keepalived 2.2.7 and 2.4.3 (main.c); those with a value have a colon or an equals sign
_SHORT_OPTIONS = "vhlndDRf:p:i:mM::g::Gt::PCSIVr:c:aXxA:b:Bes:Tu:"
_LONG_OPTIONS = [
    *("use-file=", "config-id=", "pid=", "vrrp_pid=", "checkers_pid=", "bfd_pid=", "namespace="),
    *("log-facility=", "snmp-agent-socket=", "umask=", "core-dump-pattern=", "flush-log-file"),
    *("vrrp", "check", "no_bfd", "all", "log-console", "log-detail", "no-syslog", "release-vips"),
    *("dont-release-vrrp", "dont-release-ipvs", "dont-respawn", "dont-fork", "dump-conf"),
    *("address-monitoring", "snmp", "core-dump", "all-config", "log-file", "ignore-sigint"),
]


@dataclass(frozen=True, slots=True)
class Stat:
    """Of /proc/PID/stat, proc(5). `started_ticks` counts from the machine's start."""

    comm: str
    state: str
    parent: int
    started_ticks: int


@dataclass(frozen=True, slots=True)
class CommandLine:
    """What keepalived was told of its configuration; None: its default.

    `log_console`: its lines go to the console where there is no syslog.
    """

    config_file: str | None = None
    config_id: str | None = None
    log_console: bool = False


def decode_stat(text: str) -> Stat:
    """The name is in parentheses, and can hold any character, parentheses too.

    Raises ValueError for what the kernel does not write.
    """
    opening, closing = text.index("("), text.rindex(")")
    fields = text[closing + 2 :].split()
    if len(fields) < 20:
        raise ValueError(
            f"the stat of a process has more than {len(fields)} fields behind its name"
        )
    return Stat(text[opening + 1 : closing], fields[0], int(fields[1]), int(fields[19]))


def decode_command_line(arguments: Sequence[str]) -> CommandLine:
    """As getopt_long reads it; an option that is not known ends it."""
    config_file = config_id = None
    rest = [_without_optional_value(argument) for argument in arguments[1:]]
    try:
        options, _ = getopt.gnu_getopt(rest, _SHORT_OPTIONS.replace("::", ""), _LONG_OPTIONS)
    except getopt.GetoptError:
        options = _first_of(rest)
    for name, value in options:
        if name in ("-f", "--use-file"):
            config_file = value
        elif name in ("-i", "--config-id"):
            config_id = value
    given = {name for name, _ in options}
    to_console = bool(given & {"-l", "--log-console"}) and not given & {"-G", "--no-syslog"}
    return CommandLine(config_file, config_id, to_console)


def decode_effective_uid(text: str) -> int:
    """Of /proc/PID/status: `Uid:` is followed by the real, the effective, the saved one.

    Raises ValueError for what the kernel does not write.
    """
    for line in text.splitlines():
        words = line.split()
        if line.startswith("Uid:") and len(words) > 2:
            return int(words[2])
    raise ValueError("the status of a process has a line Uid:")


@dataclass(frozen=True, slots=True)
class Proc:
    """The process file system at `path`."""

    path: Path

    def pids(self) -> list[int]:
        return sorted(int(name) for name in os.listdir(self.path) if name.isdecimal())

    def stat(self, pid: int) -> Stat:
        return decode_stat(self._read(pid, "stat"))

    def is_kernel_thread(self, pid: int) -> bool:
        return pid == _KTHREADD or self.stat(pid).parent == _KTHREADD

    def runs_keepalived(self, pid: int) -> bool:
        """By the program's file, as keepalived can be told to call itself anything."""
        try:
            program = os.readlink(f"{self.path}/{pid}/exe")
        except PermissionError:
            return self.stat(pid).comm.startswith("keepalived")
        return program.removesuffix(" (deleted)").endswith("/keepalived")

    def is_trusted(self, pid: int) -> bool:
        """Whether it is root's, as we are: what another user's process says could be anything."""
        ours = _userns(f"{self.path}/{pid}") == _own_userns(self.path)
        return ours and decode_effective_uid(self._read(pid, "status")) == 0

    def is_vrrp(self, pid: int, parent: int | None) -> bool:
        """Of keepalived's processes only the one for VRRP asks the kernel for news of links.

        The main process has no netlink socket, the one for real servers hears of addresses only,
        the one for BFD has none. What a process was given by its parent (a script just forked by
        the VRRP process) is not its own. Seen with 2.2.7; read in its source to 2.4.3.
        `parent` is the main process, as `keepalived_parent` tells.
        """
        listening = link_listeners(self.path, pid, self._sockets(pid))
        if not listening:
            return False
        return parent is None or bool(listening - set(self._sockets(parent).values()))

    def keepalived_parent(self, pid: int) -> int | None:
        """The main process of a VRRP process, unless it is gone already."""
        parent = self.stat(pid).parent
        try:
            return parent if self.runs_keepalived(parent) and self.is_trusted(parent) else None
        except OSError:
            return None

    def netns(self, pid: int | str) -> Netns:
        found = os.stat(f"{self.path}/{pid}/ns/net")
        return found.st_dev, found.st_ino

    def command_line(self, pid: int) -> CommandLine:
        return decode_command_line(self._read(pid, "cmdline").rstrip("\0").split("\0"))

    def started_at(self, pid: int) -> float:
        """Monotonic seconds."""
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - self.stat(pid).started_ticks / _TICKS
        return time.monotonic() - age

    def memory_copy(self, pid: int) -> Path | None:
        """The file that holds the configuration as keepalived loaded it (2.2.0 and later)."""
        directory = f"{self.path}/{pid}/fd"
        for name in os.listdir(directory):
            path = f"{directory}/{name}"
            if _link(path).startswith(_MEMORY_COPY):
                return Path(path)
        return None

    def _read(self, pid: int, name: str) -> str:
        with open(f"{self.path}/{pid}/{name}", "rb", buffering=0) as file:
            return file.read().decode(errors="replace")

    def _sockets(self, pid: int) -> dict[int, int]:
        """Their inodes by descriptor."""
        directory = f"{self.path}/{pid}/fd"
        links = {
            name: _SOCKET.match(_link(f"{directory}/{name}")) for name in os.listdir(directory)
        }
        return {int(name): int(match[1]) for name, match in links.items() if match}


def _userns(process: str) -> tuple[int, int]:
    found = os.stat(f"{process}/ns/user")
    return found.st_dev, found.st_ino


@lru_cache
def _own_userns(proc: Path) -> tuple[int, int]:
    return _userns(f"{proc}/self")


def _link(path: str) -> str:
    """Empty for a descriptor that was closed after it was listed."""
    try:
        return os.readlink(path)
    except FileNotFoundError:
        return ""


def _without_optional_value(argument: str) -> str:
    """getopt knows no optional values: `-t`, `-g` and `-M` can carry one, with nothing between."""
    return re.sub(r"^(-[tgM])[^-].*|^(--(?:config-test|log-file))=.*", r"\1\2", argument)


def _first_of(arguments: Sequence[str]) -> list[tuple[str, str]]:
    """With an option that is not known: only what stands as `-f FILE` or `-i ID`."""
    return [pair for pair in pairwise(arguments) if pair[0] in ("-f", "-i")]
