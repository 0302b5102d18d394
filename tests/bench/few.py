"""What havrrpd takes and how fast it is with a few routers, on the lab with real keepalived."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from havrrpd.lab.lab import Lab
from havrrpd.lab.waiting import wait_until
from tests.bench.figure import HAVRRPD, Figure
from tests.bench.scale import cpu, cpu_share, spin

ROUTERS = 3
ADDRESSES = 100
STATUS_RUNS = 10
FAILOVERS = 7
IDLE_SECONDS = 20.0
OUTAGE_SECONDS = 60.0
FALL, RETRY_INTERVAL, TIMEOUT = 3, 0.5, 1.0  # the defaults of [health_check]


def measure() -> Iterator[Figure]:
    with Lab(nodes=3, routers=ROUTERS, keep_logs=True) as lab:
        master = _steady(lab)
        yield _address_latency(lab, master)
        yield from _footprint(lab, master)
        yield from _status_command(lab, master)
        yield _takeover(lab)
        yield from _rescheduling(lab)
    with Lab(nodes=3, keep_logs=True) as lab:
        yield _outage(lab)


def _figure(what: str, value: float, limit: float, unit: str, routers: int = ROUTERS) -> Figure:
    return Figure(HAVRRPD, routers, what, value, unit, limit=limit)


def _steady(lab: Lab) -> str:
    def master() -> str | None:
        return next((n for n in lab.names if _connectivity(lab, n) == "reachable"), None)

    return str(wait_until(master, 30.0, "a MASTER that reaches its gateways"))


def _connectivity(lab: Lab, node: str) -> str:
    return str(_router(lab, node)["connectivity"])


def _router(lab: Lab, node: str) -> dict[str, Any]:
    routers = {r["router"]: r for r in lab.node(node).status()["routers"]}
    found: dict[str, Any] = routers.get(lab.routers[0].id, {"connectivity": "", "instances": []})
    return found


def _address_latency(lab: Lab, master: str) -> Figure:
    """An excluded address is taken away and added again; /status is asked without a pause."""
    router = lab.routers[0]
    address = router.provider_addresses[0]
    batch = subprocess.Popen(
        [
            *("nsenter", "-t", str(lab.node(master).pid), "-n", "-m"),
            *("ip", "-n", router.namespace, "-batch", "-"),
        ],
        stdin=subprocess.PIPE,
        text=True,
    )

    def order(word: str) -> None:
        assert batch.stdin is not None
        print(f"address {word} {address} dev {router.qg}", file=batch.stdin, flush=True)

    def present() -> bool:
        shown = _router(lab, master)["instances"][0]["virtual_addresses"]
        return any(a["address"] == address and a["present"] for a in shown)

    samples = []
    for _ in range(ADDRESSES):
        order("del")
        spin(lambda: not present())
        before = time.monotonic()
        order("add")
        spin(present)
        samples.append(time.monotonic() - before)
    batch.communicate()
    median = statistics.median(samples) * 1000
    return _figure("address added -> in /status, median", median, 5.0, "ms")


def _footprint(lab: Lab, master: str) -> Iterator[Figure]:
    pid = lab.havrrpd[master].pid
    yield _figure("idle CPU, of one core", 100 * cpu_share(pid, IDLE_SECONDS), 1.0, "%")
    status = Path(f"/proc/{pid}/status").read_text()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    yield _figure("resident memory", int(resident.split()[1]) / 1024, 75.0, "MB")


def _outage(lab: Lab) -> Figure:
    """Every gateway is lost, and the router goes round: the node that this costs most."""
    _steady(lab)
    pids = {node: lab.havrrpd[node].pid for node in lab.names}
    lab.break_gateway()
    before, started = {node: cpu(pid) for node, pid in pids.items()}, time.monotonic()
    time.sleep(OUTAGE_SECONDS)  # the measurement itself, as above
    taken = time.monotonic() - started
    share = max((cpu(pid) - before[node]) / taken for node, pid in pids.items())
    return _figure("CPU in a full outage, of one core", share * 100, 1.0, "%", 1)


def _status_command(lab: Lab, master: str) -> Iterator[Figure]:
    socket = str(lab.node(master).path("/run/havrrpd/havrrpd.sock"))
    ours = [sys.executable, "-m", "havrrpd", "status"]
    pairs = [
        (_timed(ours, {"HAVRRPD_SOCKET": socket}), _timed([sys.executable, "-c", ""], {}))
        for _ in range(STATUS_RUNS)
    ]
    yield _figure("havrrpd status", statistics.median(p[0] for p in pairs), 0.3, "s")
    ratio = statistics.median(a / b for a, b in pairs)
    yield _figure("havrrpd status, against an empty Python", ratio, 30.0, "times")


def _timed(argv: list[str], environment: dict[str, str]) -> float:
    before = time.monotonic()
    done = subprocess.run(argv, env={**os.environ, **environment}, capture_output=True, check=False)
    assert done.returncode in (0, 3), done.stderr.decode()
    return time.monotonic() - before


def _rescheduling(lab: Lab) -> Iterator[Figure]:
    """The MASTER's cable is pulled; times from a capture of its probes and from the logs."""
    master = _steady(lab)
    router = lab.routers[0]
    node = lab.node(master)
    capture = subprocess.Popen(
        [
            *("nsenter", "-t", str(node.pid), "-n", "-m", "ip", "netns", "exec", router.namespace),
            *("tcpdump", "-n", "-l", "-tt", "--immediate-mode", "-i", router.qg, "-Q", "out"),
            *("arp", "and", "host", "203.0.113.1"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert capture.stderr is not None
    while "listening on" not in capture.stderr.readline():
        pass
    earlier = len(_logged(lab, master, "router.resigned"))
    broken_at = time.time()
    lab.break_gateway(master)
    pulled_at = time.time()
    resigned = wait_until(
        lambda: _logged(lab, master, "router.resigned")[earlier:], 20.0, "it resigns"
    )
    resigned_at = resigned[0]["at"]
    capture.terminate()
    probes = [float(line.split()[0]) for line in capture.communicate()[0].splitlines() if line]
    first_missed = next(at for at in probes if at > broken_at)
    assert first_missed > pulled_at, "a probe fell into the moment in which the cable was pulled"
    promised = (FALL - 1) * RETRY_INTERVAL + TIMEOUT
    late = (resigned_at - first_missed - promised) * 1000
    yield _figure("gateway lost -> resigned, later than promised by", late, 100.0, "ms")
    lab.heal_gateway(master)


def _takeover(lab: Lab) -> Figure:
    """Failovers by an operator, one after the other: from the log of one node to that of the next.

    Without a lost gateway, so that the other routers of the lab rest.
    """
    router, samples = lab.routers[0], []
    for _ in range(FAILOVERS):
        old = _steady(lab)
        known = {node: len(_promotions(lab, node)) for node in lab.names}
        lab.node(old).exec([sys.executable, "-m", "havrrpd", "failover", router.id])

        def promoted(known: dict[str, int] = known) -> list[tuple[float, str]]:
            return [(at, n) for n in lab.names for at in _promotions(lab, n)[known[n] :]]

        at, successor = min(wait_until(promoted, 10.0, "a successor"))
        resigned_at = _logged(lab, old, "router.resigned")[-1]["at"]
        priority = _router(lab, successor)["instances"][0]["effective_priority"]
        samples.append(at - resigned_at - (256 - priority) / 256)
    median = statistics.median(samples) * 1000
    return _figure("resigned -> next MASTER, beyond Skew_Time, median", median, 100.0, "ms")


def _promotions(lab: Lab, node: str) -> list[float]:
    changes = _logged(lab, node, "instance.state_changed")
    return [change["at"] for change in changes if change["new"] == "MASTER"]


def _logged(lab: Lab, node: str, event: str) -> list[dict[str, Any]]:
    lines = (lab.logs / f"{node}-havrrpd.log").read_text().splitlines()
    entries = [json.loads(line) for line in lines if line.startswith("{")]
    return [
        {**entry, "at": datetime.fromisoformat(entry["timestamp"]).timestamp()}
        for entry in entries
        if entry["event"] == event and entry.get("router") in (None, lab.routers[0].id)
    ]
