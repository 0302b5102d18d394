"""Faults of the node around havrrpd: its clock, its disks, its limits, its processes."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import random
import resource
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import havrrpd
from havrrpd.lab import daemon
from havrrpd.lab.waiting import wait_until
from tests.faults.place import Place
from tests.faults.registry import FAULTS, fault

HOUR, A_MINUTE = 3600, 60
STOPPED_SECONDS = 10.0
KILLS = 6


# --- the clock ---


def _clock_set(place: Place, seconds: int) -> Iterator[None]:
    """havrrpd alone sees another time of day (libfaketime); that of the machine stays."""
    offset = place.node.path("/run/clock")
    offset.write_text("+0\n")
    place.lab.stop_havrrpd(place.name)
    _start_with_clock(place)
    wait_until(lambda: place.shown()["state"] == "MASTER", 10.0, "havrrpd under another clock")
    place.prepared()
    before = _since(place)
    offset.write_text(f"{seconds:+d}\n")
    _wait_shifted(place, before + seconds)
    yield
    offset.write_text("+0\n")
    _wait_shifted(place, before)
    assert place.havrrpd.running
    place.ends()
    place.lab.stop_havrrpd(place.name)
    place.lab.start_havrrpd(place.name)


@fault("clock_forward")
def clock_forward(place: Place) -> Iterator[None]:
    yield from _clock_set(place, HOUR)


@fault("clock_back")
def clock_back(place: Place) -> Iterator[None]:
    yield from _clock_set(place, -HOUR)


def _start_with_clock(place: Place) -> None:
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
    clock = {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": "/run/clock",
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
        "PYTHONPATH": str(Path(havrrpd.__file__).parents[1]),
    }
    argv = ["env", *(f"{name}={value}" for name, value in clock.items())]
    argv += [sys.executable, "-m", "havrrpd", "run", "--config", daemon.CONFIG]
    place.lab.havrrpd[place.name] = place.node.start(argv, f"{place.name}-havrrpd.log")


def _wait_shifted(place: Place, since: float) -> None:
    wait_until(lambda: abs(_since(place) - since) < A_MINUTE, 5.0, "another time of day")


def _since(place: Place) -> float:
    """When the instance came to its state, by havrrpd's clock."""
    (instance,) = place.shown()["instances"]
    return datetime.fromisoformat(instance["since"]).timestamp()


# --- disks ---


@fault("disk_of_state_full")
def disk_of_state_full(place: Place) -> Iterator[None]:
    """/var/lib/havrrpd, which is state_dir: a drain can't be remembered, and is refused."""
    state = place.node.path("/run/havrrpd/state")
    place.node.shell("mount -t tmpfs -o size=4k,nr_inodes=1 tmpfs /run/havrrpd/state")
    try:
        place.begins()
        refused = place.refusal("drain")
        assert "No space left on device" in refused, refused
        assert not list(state.iterdir())
        yield
    finally:
        place.node.shell("umount --lazy /run/havrrpd/state")
    place.order("drain")
    place.order("undrain")


@fault("disk_of_run_full")
def disk_of_run_full(place: Place) -> Iterator[None]:
    """And then the router should move: its gateway is lost on this node."""
    run = place.node.path("/run")
    used = shutil.disk_usage(run).used
    place.node.shell(f"mount -o remount,size={used + 65536} /run")
    filler = run / "filler"
    try:
        with filler.open("wb", buffering=0) as file:
            _fill(file)
        place.begins()
        place.lab.break_gateway(place.name)
        yield
    finally:
        filler.unlink()
        place.node.shell("mount -o remount,size=50% /run")
    place.wait_moved()
    place.lab.heal_gateway(place.name)


def _fill(file: io.FileIO) -> None:
    """Until the disk has no room for one more byte."""
    for size in (65536, 4096, 1):
        with contextlib.suppress(OSError):
            while file.write(bytes(size)):
                pass


# --- descriptors and processes ---


@fault("descriptors_used_up")
def descriptors_used_up(place: Place) -> Iterator[None]:
    """Not one more can be had; then keepalived stops."""
    pid = place.havrrpd.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    first_free = next(number for number in itertools.count() if number not in used)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (first_free, before[1]))
    try:
        place.keepalived.stop()
        yield
        place.start_keepalived()
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


# What looks like keepalived ends before anybody can look at it, real ones while somebody does.
_CHURN = """
mkdir -p /run/churn
cp /bin/true /run/churn/keepalived
printf 'vrrp_instance VR_c {\\n interface lo\\n virtual_router_id 9\\n}\\n' > /run/churn/c.conf
ip netns add churn
for loop in 1 2; do
    ( while test -d /run/churn; do /run/churn/keepalived; done ) 2> /dev/null &
done
( while test -d /run/churn; do
    timeout -s KILL 0.15 ip netns exec churn keepalived -n -l -P -f /run/churn/c.conf \\
        -p /run/churn/p -r /run/churn/r
done ) > /dev/null 2>&1 &
wait
"""


@fault("proc_vanishes")
def proc_vanishes(place: Place) -> Iterator[None]:
    log = place.havrrpd.log
    before = log.read_text().count("process.vanished")
    churn = place.node.start(["sh", "-c", _CHURN], "churn.log")
    try:
        wait_until(
            lambda: log.read_text().count("process.vanished") > before + 20, 20.0, "vanished ones"
        )
        yield
    finally:
        place.node.shell("rm -r /run/churn")
        churn.wait(5.0)
        place.node.shell("ip netns pids churn | xargs -r kill -9; ip netns delete churn")


@fault("havrrpd_stopped")
def havrrpd_stopped(place: Place) -> Iterator[None]:
    """SIGSTOP for 10 s, in which keepalived is restarted and another node takes over."""
    place.havrrpd.signal(signal.SIGSTOP)
    until = time.monotonic() + STOPPED_SECONDS
    place.keepalived.stop()
    wait_until(place.lab.holders, 10.0, "another MASTER")
    place.start_keepalived()
    time.sleep(max(0.0, until - time.monotonic()))
    place.begins()
    place.havrrpd.signal(signal.SIGCONT)
    yield


@fault("havrrpd_killed")
def havrrpd_killed(place: Place) -> Iterator[None]:
    """Again and again, at a random moment after its start."""
    seed = random.randrange(2**32)
    print(f"the moments of the kills: seed {seed}")
    chosen = random.Random(seed)
    for _ in range(KILLS):
        place.lab.kill_havrrpd(place.name)
        place.lab.start_havrrpd(place.name)
        time.sleep(chosen.uniform(0.0, 1.5))
    place.lab.kill_havrrpd(place.name)
    place.begins()
    place.lab.start_havrrpd(place.name)
    yield


@fault("havrrpd_killed_resigning")
def havrrpd_killed_resigning(place: Place) -> Iterator[None]:
    """Between the two orders of a failover: the lever holds the FAULT that it was to end."""
    place.order("failover", place.router.id)
    wait_until(lambda: place.lever.read_text().strip() == "-254", 2.0, "it resigns", every=0.002)
    place.lab.kill_havrrpd(place.name)
    place.begins()
    place.lab.start_havrrpd(place.name)
    yield


FAULTS["havrrpd_killed_backup"] = havrrpd_killed
