"""The lab on disk: so that each command finds the one lab of this machine, and is its own process.

While a lab is built it hangs on the building process; only once it is whole and written down here
its nodes are told to stay. So a crash leaves nothing, or something that `down` finds.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import havrrpd
from havrrpd.lab.keepalived import Keepalived
from havrrpd.lab.lab import Lab, Say
from havrrpd.lab.node import Node
from havrrpd.lab.plan import Plan
from havrrpd.lab.process import Process
from havrrpd.lab.waiting import LabError

_DIRECTORY = Path(os.environ.get("HAVRRPD_LAB", "/run/havrrpd-lab"))
_FILE = _DIRECTORY / "lab.json"
_LOGS = _DIRECTORY / "logs"

Pages = dict[str, str]  # the name of a node -> where its page is, on this machine


def up(plan: Plan, say: Say) -> Lab:
    """Build a lab that stays. LabError when there is one already."""
    with _alone():
        if _FILE.exists():
            if any(node.alive for node in _nodes(opened())):
                raise LabError("a lab is up already: `havrrpd lab down` takes it down")
            _end_relay()
            _remove()
        _LOGS.mkdir(parents=True, exist_ok=True)
        lab = Lab(plan)
        try:
            lab.build(_LOGS, say)
            _keep(lab)
            _start_relay()
        except BaseException:
            _end_relay()
            lab.down()
            _remove()
            raise
        return lab


def opened() -> Lab:
    """The lab that is up; LabError when there is none."""
    try:
        known = json.loads(_FILE.read_text())
    except FileNotFoundError:
        raise LabError("there is no lab: `havrrpd lab up` builds one") from None
    lab = Lab(Plan(**known["plan"]))
    lab.logs = _LOGS
    for group, nodes in (("nodes", lab.nodes), ("others", lab.others)):
        for name, init in known[group].items():
            nodes[name] = Node.found(name, _LOGS, _process(init, "lab"))
    for name, process in known["havrrpd"].items():
        lab.havrrpd[name] = _process(process, f"{name}-havrrpd")
    for key, process in known["keepalived"].items():
        name, number = key.split()
        found = _process(process, f"{name}-keepalived-{number}")
        lab.keepalived[name, int(number)] = Keepalived(found)
    return lab


@contextlib.contextmanager
def changed() -> Iterator[Lab]:
    """The lab that is up, for a command that changes it; what was changed is remembered."""
    with _alone():
        lab = opened()
        try:
            yield lab
        finally:
            _keep(lab)


def _keep(lab: Lab) -> None:
    """On disk first: what stays can be found."""
    known = {
        "plan": dataclasses.asdict(lab.plan),
        "nodes": {name: _identity(node.init) for name, node in lab.nodes.items()},
        "others": {name: _identity(node.init) for name, node in lab.others.items()},
        "havrrpd": {name: _identity(process) for name, process in lab.havrrpd.items()},
        "keepalived": {
            f"{name} {number}": _identity(keepalived.process)
            for (name, number), keepalived in lab.keepalived.items()
        },
    }
    fresh = _FILE.with_suffix(".new")
    fresh.write_text(json.dumps(known, indent=1))
    fresh.rename(_FILE)
    for node in _nodes(lab):
        node.stay()


def down() -> bool:
    """End the lab with all that is in it; whether there was one. Also after a crash."""
    with _alone():
        if not _DIRECTORY.exists():
            return False
        _end_relay()
        there = _FILE.exists()
        if there:
            opened().down()
        _remove()
        return there


def pages() -> Pages:
    """Where the nodes' pages are; none when nobody relays them."""
    try:
        told: Pages = json.loads((_DIRECTORY / "pages.json").read_text())
    except FileNotFoundError:
        return {}
    return told


# --- the relay of the pages, a process on the host ---


def _start_relay() -> None:
    with (_LOGS / "relay.log").open("ab") as log:
        relay = subprocess.Popen(
            [sys.executable, "-m", "havrrpd.lab.relay"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, "PYTHONPATH": str(Path(havrrpd.__file__).parents[1])},
            start_new_session=True,
        )
    (_DIRECTORY / "relay.json").write_text(json.dumps(_identity(Process(relay.pid, _LOGS))))
    assert relay.stdout is not None
    said = relay.stdout.readline().decode()
    if not said:
        raise LabError(f"the pages can't be relayed, see {_LOGS / 'relay.log'}")
    (_DIRECTORY / "pages.json").write_text(said)


def _end_relay() -> None:
    with contextlib.suppress(FileNotFoundError):
        _process(json.loads((_DIRECTORY / "relay.json").read_text()), "relay").signal(
            signal.SIGTERM
        )


# --- on disk ---


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One command that changes the lab at a time."""
    if os.geteuid() != 0:
        raise LabError("the lab needs root: it makes network namespaces")
    lock = os.open(_DIRECTORY.parent, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabError("another command is changing the lab: wait for it") from None
        yield
    finally:
        os.close(lock)


def _remove() -> None:
    """What the lab has written, and nothing else; the directory if nothing else is in it."""
    shutil.rmtree(_LOGS, ignore_errors=True)
    for name in ("lab.json", "lab.new", "relay.json", "pages.json"):
        (_DIRECTORY / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        _DIRECTORY.rmdir()


def _nodes(lab: Lab) -> list[Node]:
    return [*lab.nodes.values(), *lab.others.values()]


def _identity(process: Process) -> list[int]:
    return [process.pid, process.started]


def _process(identity: Any, log: str) -> Process:
    pid, started = identity
    return Process(pid, _LOGS / f"{log}.log", started)
