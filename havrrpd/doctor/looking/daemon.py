"""What there is of havrrpd: its status, and the process behind its socket."""

from __future__ import annotations

import os
import re
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from havrrpd import capabilities
from havrrpd.client import Client, NoAnswerError, RefusedError
from havrrpd.doctor.facts import Daemon, Json

_LIMIT = re.compile(r"(?m)^Max open files +(\d+)")


def look(socket_path: str) -> Daemon:
    """Asks /status over the Unix socket, which answers within seconds or not at all."""
    try:
        status: Json = Client(socket_path).status()
    except RefusedError as refused:
        return Daemon(error=str(refused), running=tuple(_processes()))
    except NoAnswerError as silence:
        return Daemon(
            error=f"no answer on {socket_path}: {silence.reason}",
            denied=isinstance(silence.__cause__, PermissionError),
            running=tuple(_processes()),
        )
    pid = _pid_behind(socket_path)
    if pid is None:
        return Daemon(status)
    return Daemon(
        status,
        pid=pid,
        capabilities=capabilities.effective(pid),
        descriptors=_descriptors(pid),
        sees_our_network=_same_network(pid),
    )


def _pid_behind(socket_path: str) -> int | None:
    """Who listens on the Unix socket: SO_PEERCRED, socket(7)."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1.0)
            probe.connect(socket_path)
            said = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    except OSError:
        return None
    pid, _, _ = struct.unpack("3i", said)
    return int(pid) or None  # 0: it is in another process namespace


def _descriptors(pid: int) -> tuple[int, int] | None:
    try:
        found = _LIMIT.search(Path(f"/proc/{pid}/limits").read_text())
        return None if found is None else (len(os.listdir(f"/proc/{pid}/fd")), int(found[1]))
    except OSError:
        return None


def _same_network(pid: int) -> bool | None:
    try:
        return os.stat(f"/proc/{pid}/ns/net").st_ino == os.stat("/proc/self/ns/net").st_ino
    except OSError:
        return None


def _processes() -> Iterator[int]:
    """Those whose command is `havrrpd run`, with or without Python in front.

    One in another network namespace is another node's: of a lab, or of a container's own network.
    """
    for name in os.listdir("/proc"):
        if not name.isdecimal():
            continue
        try:
            words = Path(f"/proc/{name}/cmdline").read_text(errors="replace").split("\0")
        except OSError:
            continue
        if is_havrrpd(words) and _same_network(int(name)) is not False:
            yield int(name)


def is_havrrpd(words: list[str]) -> bool:
    """`words` are a command line: [havrrpd, run], [python3, /usr/bin/havrrpd, run]..."""
    for place, word in enumerate(words[:4]):
        if word.rpartition("/")[2] == "havrrpd":
            return "run" in words[place + 1 :]
    return False
