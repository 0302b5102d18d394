"""What havrrpd takes with 10 to 2000 routers on one node, and in storms."""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from havrrpd.lab.waiting import LabError, wait_until
from tests.bench.figure import HAVRRPD, Figure
from tests.bench.growth import paced
from tests.bench.load import Load
from tests.bench.log import Changes
from tests.bench.pace import pace

WINDOW, FALLS = 3.0, 0.9  # seconds; the share of one before, below which it has not rested yet
IDLE_SECONDS = 10.0
LATENCIES = 200
SCRAPES = 10
STORMS = 10
STORM_WITHIN = 0.9  # seconds: all routers change in less than one
SIZES = (10, 100, 1000, 2000)
BIG = 1000  # the size that the limits are about
LIMITS = {
    "memory (PSS)": 100.0,
    "start until all states are right": 5.0,
    "idle CPU, of one core": 8.0,
    "address added -> state known, p50": 2.0,
    "address added -> state known, p99": 10.0,
    "/metrics": 250.0,
    "/metrics: the loop late by": 20.0,
    "storm: all known after": 1.0,
    "storm: CPU a transition": 0.5,
    "500 addresses gone: right after": 0.3,
    "checks: CPU in all, of one core": 35.0,
    "checks: CPU each, beyond idle": 150.0,
    "storm beyond a small buffer: all right after": 1.0,
    "checks: the loop late by": 100.0,
}
FLOATING = 20
SMALL_BUFFER = 65536  # bytes
OVERRUN_WITHIN = 0.3  # seconds
CHANGE_LIMIT = 60.0  # seconds
MANY_ADDRESSES = 500
_CPUCLOCK_SCHED = 2  # linux/posix-timers.h


def main() -> int:
    """One part, or all, by hand: `python -m tests.bench.scale --routers 1000 --only checks`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--routers", nargs="+", type=int, default=SIZES)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=tuple(PARTS))
    options = parser.parse_args()
    failed = 0
    for count in options.routers:
        for figure in measure(count, options.only):
            failed += not figure.holds
            print(figure, flush=True)
    return 1 if failed else 0


def measure(count: int, parts: Iterable[str]) -> Iterator[Figure]:
    """One that fails has no value, and a note."""
    before = pace()
    for name in parts:
        try:
            for figure in PARTS[name](count):
                limit = LIMITS.get(figure.what) if count == BIG else None
                yield replace(figure, limit=limit)
        except (LabError, OSError, AssertionError) as error:
            yield Figure(HAVRRPD, count, name.replace("_", " "), None, note=f"failed: {error}")
        after = pace()
        yield _figure(count, paced(name), (before + after) / 2, "s")
        before = after


# --- at rest ---


def resting(count: int) -> Iterator[Figure]:
    """Half of them MASTER: start, memory, idle CPU, latency of an address, /metrics."""
    masters = count // 2
    with Load(count) as load:
        load.order("master", range(masters))
        began = time.time()
        havrrpd = load.start_havrrpd()
        changes = Changes(havrrpd.log)
        changes.wait(count, CHANGE_LIMIT)
        started = changes.last() - began
        yield _figure(count, "start until all states are right", started, "s")
        yield _figure(count, "CPU to start", cpu(havrrpd.pid), "s")
        load.wait_right(masters)
        yield _figure(count, "memory (PSS)", pss(havrrpd.pid), "MB")
        rest(havrrpd.pid)
        share = cpu_share(havrrpd.pid, IDLE_SECONDS)
        yield _figure(count, "idle CPU, of one core", 100 * share, "%")
        yield from _latency(load)
        yield from _metrics(load)
        yield _figure(count, "memory (PSS) after that", pss(havrrpd.pid), "MB")


def _latency(load: Load) -> Iterator[Figure]:
    """An address is removed and added again; /status of its router is asked without a pause."""
    router = load.routers[0]
    address = router.addresses[-1][0]

    def present() -> bool:
        (instance,) = load.node.status(router.id)["instances"]
        return any(a["address"] == address and a["present"] for a in instance["virtual_addresses"])

    samples = []
    for _ in range(LATENCIES):
        load.order("remove", [0])
        spin(lambda: not present())
        before = load.order("add", [0])["began"]
        spin(present)
        samples.append((time.time() - before) * 1000)
    count = len(load.routers)
    p50, p99 = statistics.median(samples), statistics.quantiles(samples, n=100)[98]
    yield _figure(count, "address added -> state known, p50", p50, "ms")
    yield _figure(count, "address added -> state known, p99", p99, "ms")


def spin(until: Callable[[], bool]) -> None:
    """Wait without a pause: what is measured is shorter than one."""
    deadline = time.monotonic() + 5.0
    while not until():
        assert time.monotonic() < deadline, "not within 5 s"


def _metrics(load: Load) -> Iterator[Figure]:
    samples, size = [], 0
    before = _lag(load)
    for _ in range(SCRAPES):
        began = time.monotonic()
        size = len(load.metrics())
        samples.append((time.monotonic() - began) * 1000)
    after = _lag(load)
    count = len(load.routers)
    median = statistics.median(samples)
    yield _figure(count, "/metrics", median, "ms")
    yield _figure(count, "/metrics, size", size / 1e6, "MB")
    worst = max((bound for bound in after if after[bound] > before[bound]), default=0.0)
    yield _figure(count, "/metrics: the loop late by", worst * 1000, "ms")


def _lag(load: Load) -> dict[float, float]:
    """How often the loop was late by at most so much and more than the bound before."""
    text = load.metrics()
    cumulative = {
        float(line.split('le="')[1].split('"')[0]): float(line.split()[-1])
        for line in text.splitlines()
        if line.startswith("havrrpd_event_loop_lag_seconds_bucket")
    }
    counts, below = {}, 0.0
    for bound, total in sorted(cumulative.items()):
        counts[bound], below = total - below, total
    return counts


# --- storms ---


def storms(count: int) -> Iterator[Figure]:
    yield from _storms(count, 0)


def storms_with_addresses(count: int) -> Iterator[Figure]:
    yield from _storms(count, FLOATING)


def _storms(count: int, floating: int) -> Iterator[Figure]:
    """All change to MASTER within a second, and back; every state and counter is looked at."""
    what = f"storm with {floating} more addresses" if floating else "storm"
    late, used = [], 0.0
    with Load(count, floating) as load:
        havrrpd = load.start_havrrpd()
        load.wait_right(0)
        overruns = load.counter("havrrpd_netlink_overruns_total")
        changes = Changes(havrrpd.log)
        for _ in range(STORMS):
            for order, masters in (("master", count), ("backup", 0)):
                before, changed = cpu(havrrpd.pid), len(changes.times())
                done = load.order(order, range(count), STORM_WITHIN)
                changes.wait(changed + count, CHANGE_LIMIT)
                used += cpu(havrrpd.pid) - before
                late.append(changes.last() - done["ended"])
                load.wait_right(masters)
        transitions = load.transitions()
        if transitions != [2 * STORMS] * count:
            raise LabError(f"not {2 * STORMS} transitions each: {transitions}")
        overruns = load.counter("havrrpd_netlink_overruns_total") - overruns
    yield _figure(count, f"{what}: all known after", max(late), "s")
    each = used / (2 * STORMS * count) * 1000
    yield _figure(count, f"{what}: CPU a transition", each, "ms")
    yield _figure(count, f"{what}: netlink overruns", overruns, "")


def overruns(count: int) -> Iterator[Figure]:
    """A storm that a small receive buffer can't hold: counted, and right soon after."""
    late = []
    with Load(count, FLOATING) as load:
        havrrpd = load.start_havrrpd(more=f"[discovery]\nreceive_buffer = {SMALL_BUFFER}\n")
        load.wait_right(0)
        changes = Changes(havrrpd.log)
        for order, masters in (("master", count), ("backup", 0)):
            changed = len(changes.times())
            done = load.order(order, range(count), OVERRUN_WITHIN)
            changes.wait(changed + count, CHANGE_LIMIT)
            late.append(changes.last() - done["ended"])
            load.wait_right(masters)
        seen = load.counter("havrrpd_netlink_overruns_total")
    if not seen and count >= BIG:
        raise LabError("the small buffer held everything")
    yield _figure(count, "storm beyond a small buffer: netlink overruns", seen, "")
    yield _figure(count, "storm beyond a small buffer: all right after", max(late), "s")


def many_addresses(count: int) -> Iterator[Figure]:
    """One router gets 500 addresses and loses them after a second, among the others."""
    with Load(count, many=MANY_ADDRESSES) as load:
        changes = Changes(load.start_havrrpd().log)
        load.wait_right(0)
        load.order("master", [0])
        load.wait_right(1)
        time.sleep(1.0)  # as the peers are measured
        done = load.order("backup", [0])["ended"]
        load.wait_right(0)
        late = changes.last() - done
        yield _figure(count, f"{MANY_ADDRESSES} addresses gone: right after", late, "s")


# --- gateways ---


def checks(count: int) -> Iterator[Figure]:
    """Every router MASTER, two gateways each, checked every second by ARP or NDP and by ICMP."""
    with Load(count) as load:
        load.order("master", range(count))
        havrrpd = load.start_havrrpd()
        load.wait_right(count)
        rest(havrrpd.pid)
        idle = cpu_share(havrrpd.pid, IDLE_SECONDS)
        load.stop_havrrpd()
        havrrpd = load.start_havrrpd(interval=1.0)
        load.wait_right(count)
        wait_until(lambda: cpu_share(havrrpd.pid, 2.0) < 0.9, 60.0, "the start is over")
        rest(havrrpd.pid)
        probes, before, began = _probes(load), _lag(load), time.monotonic()
        share = cpu_share(havrrpd.pid, IDLE_SECONDS)
        rate = (_probes(load) - probes) / (time.monotonic() - began)
        after = _lag(load)
    worst = max((bound for bound in after if after[bound] > before[bound]), default=0.0)
    yield _figure(count, "checks a second", rate, "")
    yield _figure(count, "checks: CPU in all, of one core", 100 * share, "%")
    yield _figure(count, "checks: CPU each, beyond idle", (share - idle) / rate * 1e6, "us")
    yield _figure(count, "checks: the loop late by", worst * 1000, "ms")


def _probes(load: Load) -> float:
    return load.counter("havrrpd_gateway_probes_total")


# --- measuring ---


def _figure(routers: int, what: str, value: float, unit: str) -> Figure:
    return Figure(HAVRRPD, routers, what, value, unit)


def cpu(pid: int) -> float:
    """Seconds, by the process's own clock, clock_getcpuclockid(3): /proc counts in hundredths."""
    return time.clock_gettime(~pid << 3 | _CPUCLOCK_SCHED)


def cpu_share(pid: int, seconds: float) -> float:
    before, began = cpu(pid), time.monotonic()
    time.sleep(seconds)  # the measurement itself
    return (cpu(pid) - before) / (time.monotonic() - began)


def rest(pid: int) -> None:
    """Until its share falls no more: after a start the same work takes up to twice the time."""
    share = cpu_share(pid, WINDOW)
    while (later := cpu_share(pid, WINDOW)) < FALLS * share:
        share = later


def pss(pid: int) -> float:
    """MB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


PARTS: dict[str, Callable[[int], Iterator[Figure]]] = {
    "resting": resting,
    "storms": storms,
    "storms_with_addresses": storms_with_addresses,
    "overruns": overruns,
    "many_addresses": many_addresses,
    "checks": checks,
}


if __name__ == "__main__":
    sys.exit(main())
