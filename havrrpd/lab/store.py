"""The lab on disk: so that each command finds the one lab of this machine, and is its own process.

While a lab is built it hangs on the building process; only once it is whole and written down here
its nodes are told to stay. So a crash leaves nothing, or something that `down` finds. Later each
start of a process is written down at once: also a command that was killed leaves no stranger.
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
from typing import Any, NoReturn

import havrrpd
from havrrpd.lab.keepalived import Keepalived
from havrrpd.lab.lab import Lab, Say
from havrrpd.lab.node import Node
from havrrpd.lab.plan import Plan
from havrrpd.lab.process import Process
from havrrpd.lab.waiting import LabError, wait_until

_DIRECTORY = Path(os.environ.get("HAVRRPD_LAB", "/run/havrrpd-lab"))
_FILE = _DIRECTORY / "lab.json"
_RELAY, _PAGES = _DIRECTORY / "relay.json", _DIRECTORY / "pages.json"
_LOGS = _DIRECTORY / "logs"
_ANSWERS_WITHIN = 60.0  # seconds
_GROUPS = ("nodes", "others")

Pages = dict[str, str]  # the name of a node -> where its page is, on this machine


def up(plan: Plan, say: Say) -> Lab:
    """Build a lab that stays. LabError when there is one already."""
    with _alone():
        if any(node.alive for node in _found_nodes()):
            raise LabError("a lab is up already: `havrrpd lab down` takes it down")
        _end_relay()
        _remove()
        _LOGS.mkdir(parents=True, exist_ok=True)
        lab = Lab(plan)
        try:
            lab.build(_LOGS, say)
            _keep(lab)
            _start_relay()
            for name, node in lab.nodes.items():
                wait_until(node.status, _ANSWERS_WITHIN, f"havrrpd of {name} answers")
        except BaseException:
            _end_relay()
            lab.down()
            _forget()  # but for the logs, which say why
            raise
        return lab


def opened() -> Lab:
    """The lab that is up; LabError when there is none."""
    known = _known()
    if known is None:
        raise LabError("there is no lab: `havrrpd lab up` builds one")
    try:
        return _lab(known)
    except (KeyError, TypeError, ValueError) as error:
        raise LabError(
            f"{_FILE} is not of this version of havrrpd ({error!r}): `havrrpd lab down` first"
        ) from error


def _lab(known: dict[str, Any]) -> Lab:
    lab = Lab(Plan(**known["plan"]))
    lab.logs = _LOGS
    lab.nodes, lab.others = (
        {name: _node(name, init) for name, init in known[group].items()} for group in _GROUPS
    )
    for name, process in known["havrrpd"].items():
        lab.havrrpd[name] = _process(process, f"{name}-havrrpd")
    for key, process in known["keepalived"].items():
        name, number = key.split()
        found = _process(process, f"{name}-keepalived-{number}")
        lab.keepalived[name, int(number)] = Keepalived(found)
    return lab


@contextlib.contextmanager
def changed() -> Iterator[Lab]:
    """The lab that is up, for a command that changes it; what was changed is remembered.

    A SIGTERM or SIGHUP ends the command as a Ctrl-C does: what it has started goes with it.
    """
    with _alone(), _interruptible():
        lab = opened()
        lab.remember = lambda: _keep(lab)
        yield lab


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
    _write(_FILE, json.dumps(known, indent=1))
    for node in _nodes(lab):
        node.stay()


def down() -> bool:
    """End the lab with all that is in it; whether there was one. Also after a crash."""
    with _alone():
        if not _DIRECTORY.exists():
            return False
        _end_relay()
        there = _FILE.exists()
        for node in _found_nodes():
            node.kill()
        _remove()
        return there


def pages() -> Pages:
    """Where the nodes' pages are; none when nobody relays them."""
    try:
        told: Pages = json.loads(_PAGES.read_text())
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
    _write(_RELAY, json.dumps(_identity(Process(relay.pid, _LOGS))))
    assert relay.stdout is not None
    said = relay.stdout.readline().decode()
    if not said:
        raise LabError(f"the pages can't be relayed, see {_LOGS / 'relay.log'}")
    _write(_PAGES, said)


def _end_relay() -> None:
    with contextlib.suppress(FileNotFoundError):
        _process(json.loads(_RELAY.read_text()), "relay").signal(signal.SIGTERM)


# --- on disk ---


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    def end(number: int, _: object) -> NoReturn:
        sys.exit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One command that changes the lab at a time."""
    if os.geteuid() != 0:
        raise LabError("the lab needs root: it makes network namespaces")
    try:
        lock = os.open(_DIRECTORY.parent, os.O_RDONLY)
    except FileNotFoundError:
        raise LabError(f"there is no {_DIRECTORY.parent} to write the lab down in") from None
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
    _forget()
    with contextlib.suppress(OSError):
        _DIRECTORY.rmdir()


def _forget() -> None:
    for path in (_FILE, _RELAY, _PAGES):
        path.unlink(missing_ok=True)
        _fresh(path).unlink(missing_ok=True)


def _write(path: Path, text: str) -> None:
    """Whole or not at all, whenever this process is killed."""
    _fresh(path).write_text(text)
    _fresh(path).rename(path)


def _fresh(path: Path) -> Path:
    return path.with_suffix(".new")


def _known() -> dict[str, Any] | None:
    """What is on disk; None without a lab."""
    try:
        known: dict[str, Any] = json.loads(_FILE.read_text())
    except FileNotFoundError:
        return None
    return known


def _found_nodes() -> list[Node]:
    """Of the lab on disk, also of one that another version has built."""
    known = _known() or {}
    groups = (known.get(group, {}) for group in _GROUPS)
    return [_node(name, init) for group in groups for name, init in group.items()]


def _node(name: str, init: Any) -> Node:
    return Node.found(name, _LOGS, _process(init, "lab"))


def _nodes(lab: Lab) -> list[Node]:
    return [*lab.nodes.values(), *lab.others.values()]


def _identity(process: Process) -> list[int]:
    return [process.pid, process.started]


def _process(identity: Any, log: str) -> Process:
    pid, started = identity
    return Process(pid, _LOGS / f"{log}.log", started)
