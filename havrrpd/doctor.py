"""What is wrong with a node, and the sentence that mends it.

`look()` looks; everything else is a function of what was seen and of the daemon's status.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from msgspec import Struct

from havrrpd.capabilities import NEEDED, effective, missing
from havrrpd.core.priority import SMALLEST_BASE

Version = tuple[int, int, int]


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor: what was looked at, what was found, what to do about it."""

    level: Level
    subject: str
    text: str

    def __str__(self) -> str:
        return f"{self.level:<4}  {self.subject}: {self.text}"


class Facts(Struct, frozen=True):
    """What the machine shows from outside the daemon. None: it could not be seen."""

    keepalived: Version | None
    daemon_error: str | None  # why the daemon gave no status
    capabilities: int | None  # the effective ones, as a bit mask
    directories: tuple[tuple[str, bool], ...]  # (path, is a directory)
    deaf: frozenset[int] = frozenset()  # keepalived processes that watch no file at all


def examine(status: dict[str, Any] | None, facts: Facts) -> list[Finding]:
    """Every finding, the node's first; `status` is None when the daemon does not answer."""
    findings = [_keepalived(facts), _daemon(status, facts), _capabilities(facts)]
    findings += [_directory(path, there) for path, there in facts.directories]
    for router in [] if status is None else status["routers"]:
        wrong = [*_of_router(router, facts), *_of_instances(router)]
        findings += wrong or [_ok(f"router {router['router']}", f"{router['state']}, no problem")]
    if status is not None and not status["routers"]:
        findings.append(_warn("routers", "no keepalived was found on this node; is one running?"))
    return findings


def is_wrong(findings: list[Finding]) -> bool:
    return any(finding.level is Level.FAIL for finding in findings)


# --- the node ---


def _keepalived(facts: Facts) -> Finding:
    version = facts.keepalived
    if version is None:
        return _fail("keepalived", "is not installed; apt install keepalived")
    text = ".".join(str(part) for part in version)
    if version <= (1, 2, 15):
        return _fail(
            "keepalived",
            f"{text} loses packets with more than two nodes; upgrade to 2.0.21 or later",
        )
    if version < (2, 0, 21):
        return _warn(
            "keepalived", f"{text} does not know the keyword track_file; upgrade to 2.0.21 or later"
        )
    return _ok("keepalived", text)


def _daemon(status: dict[str, Any] | None, facts: Facts) -> Finding:
    if status is None:
        return _fail("daemon", facts.daemon_error or "it does not answer")
    if not status["ready"]:
        return _warn("daemon", "answers, and is not ready yet; wait for its first listing")
    return _ok("daemon", f"havrrpd {status['version']} answers")


def _capabilities(facts: Facts) -> Finding:
    if facts.capabilities is None:
        return _warn("capabilities", "can't be seen; run havrrpd doctor as root")
    lacking = missing(facts.capabilities)
    if lacking:
        return _fail(
            "capabilities",
            f"{', '.join(lacking)} missing; add to CapabilityBoundingSet= of havrrpd.service",
        )
    return _ok("capabilities", ", ".join(name for name, _ in NEEDED.values()))


def _directory(path: str, there: bool) -> Finding:
    if there:
        return _ok("directory", path)
    return _fail(
        "directory",
        f"{path} is missing, and keepalived must find it when it starts; "
        "systemd-tmpfiles --create, then systemctl reload keepalived",
    )


# --- a router ---

_MENDING = {
    "addresses_orphaned": "nobody owns the virtual addresses that are here; start its keepalived",
    "addresses_missing": "MASTER without all virtual addresses; reload its keepalived",
    "adverts_stopped": "keepalived hangs as MASTER; restart it",
    "duplicate_master": "another node is MASTER too; check the network between them, and that "
    "advert_int and virtual addresses are equal",
    "no_master_heard": "no MASTER is heard; check the HA network and the other nodes",
    "witnesses_disagree": "the witnesses disagree; see witnesses in havrrpd status -o json",
    "gateway_unreachable": "MASTER and its gateways are lost; check the uplink",
    "keepalived_down": "keepalived does not run; start it",
    "lever_missing": "the loaded configuration has no track file of ours; add what "
    "havrrpd keepalived stanza {router} prints, and reload keepalived",
}
_DEAF = (
    "its keepalived does not watch its track file, so havrrpd can't move it: more keepalived "
    "processes than inotify instances; raise the sysctl fs.inotify.max_user_instances and restart "
    "this keepalived"
)


def _of_router(router: dict[str, Any], facts: Facts) -> list[Finding]:
    subject = f"router {router['router']}"
    found = [
        _fail(subject, f"{name}: {_MENDING.get(name, name).format(router=router['router'])}")
        for name in router["problems"]
    ]
    for uplink in router["election"]["uplinks_down"]:
        text = f"its uplink {uplink} is down; mend it, until then keepalived is in FAULT"
        found.append(_fail(subject, text))
    if router["state"] == "FAULT" and router["election"]["phase"] != "resigning":
        found.append(_fail(subject, "FAULT; see keepalived's log for why"))
    if router["election"]["lever"] is None and "lever_missing" not in router["problems"]:
        found.append(_warn(subject, f"has no lever: {_add_stanza(router)}"))
    elif router["pid"] in facts.deaf:
        found.append(_fail(subject, _DEAF))
    return found


def _of_instances(router: dict[str, Any]) -> list[Finding]:
    return [
        finding for instance in router["instances"] for finding in _of_instance(router, instance)
    ]


def _of_instance(router: dict[str, Any], instance: dict[str, Any]) -> list[Finding]:
    subject = f"router {router['router']} {instance['vrrp_instance']}"
    base, found = instance["priority"], []
    if router["pid"] is not None and instance["witnesses"]["notification"] == "unwatched":
        found.append(_warn(subject, f"its notifications are not heard: {_add_stanza(router)}"))
    if base == 255:
        found.append(_fail(subject, "at priority 255 keepalived ignores a weight; use 254 or less"))
    if base < SMALLEST_BASE:
        found.append(
            _warn(
                subject,
                f"priority {base} leaves no room for taking turns, so the router is only resigned; "
                f"set {SMALLEST_BASE} or more on every node",
            )
        )
    if instance["preempt"] and router["election"]["lever"] is not None:
        found.append(
            _warn(subject, "preempt is on: a returning node moves the router; add nopreempt")
        )
    # A standing only lowers a priority: what is above our base is a higher base.
    higher = sorted({m["priority"] for m in instance["masters_heard"] if m["priority"] > base})
    if higher:
        found.append(
            _warn(
                subject,
                f"a peer sends priority {higher[-1]}, ours is {base}: the base priorities differ; "
                "make them equal on every node",
            )
        )
    return found


def _add_stanza(router: dict[str, Any]) -> str:
    return f"add what havrrpd keepalived stanza {router['router']} prints, and reload keepalived"


def _ok(subject: str, text: str) -> Finding:
    return Finding(Level.OK, subject, text)


def _warn(subject: str, text: str) -> Finding:
    return Finding(Level.WARN, subject, text)


def _fail(subject: str, text: str) -> Finding:
    return Finding(Level.FAIL, subject, text)


# --- looking ---


def look(
    directories: tuple[str, ...],
    socket_path: str,
    daemon_error: str | None,
    pids: Iterable[int] = (),
) -> Facts:
    """The facts of this machine. `pids`: the keepalived processes to look at."""
    return Facts(
        keepalived=keepalived_version(),
        daemon_error=daemon_error,
        capabilities=effective(_pid_behind(socket_path) if daemon_error is None else None),
        directories=tuple((path, os.path.isdir(path)) for path in directories),
        deaf=frozenset(pid for pid in pids if _watches_no_file(pid)),
    )


def _watches_no_file(pid: int) -> bool:
    """Without an inotify descriptor; False when that can't be seen."""
    try:
        targets = [os.readlink(entry.path) for entry in os.scandir(f"/proc/{pid}/fd")]
    except OSError:
        return False
    return not any("inotify" in target for target in targets)


def keepalived_version() -> Version | None:
    path = shutil.which("keepalived", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if path is None:
        return None
    try:
        said = subprocess.run([path, "--version"], capture_output=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return read_version((said.stderr + said.stdout).decode(errors="replace"))


def read_version(text: str) -> Version | None:
    """From the first line of `keepalived --version`: Keepalived v2.2.7 (01/16,2022)."""
    found = re.search(r"Keepalived v(\d+)\.(\d+)\.(\d+)", text)
    return None if found is None else (int(found[1]), int(found[2]), int(found[3]))


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
    return int(pid) or None
