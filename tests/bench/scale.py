"""`make scale`: what havrrpd takes with 10 to 2000 routers on one node, and in storms.

Prints a table: the figure, its limit where there is one, and whether it holds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from havrrpd.lab.waiting import LabError
from tests.bench.load import Load

IDLE_SECONDS = 20.0
LATENCIES = 200
SCRAPES = 10
STORMS = 10
STORM_WITHIN = 0.9  # seconds: all routers change in less than one
TABLE_SIZE = (10, 100, 1000, 2000)
BIG = 1000  # the size that the limits are about
FLOATING = 20
MANY_ADDRESSES = 500


@dataclass(frozen=True, slots=True)
class Figure:
    routers: int
    what: str
    value: float
    unit: str
    limit: float | None = None

    @property
    def holds(self) -> bool:
        return self.limit is None or self.value < self.limit


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--routers", nargs="+", type=int, default=TABLE_SIZE)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=tuple(PARTS))
    options = parser.parse_args()
    failed = 0
    for count in options.routers:
        for name in options.only:
            for figure in PARTS[name](count):
                failed += not figure.holds
                print(_line(figure), flush=True)
    return 1 if failed else 0


def _line(figure: Figure) -> str:
    limit = "" if figure.limit is None else f"limit {figure.limit:8.2f}"
    verdict = "" if figure.limit is None else "holds" if figure.holds else "MISSED"
    return (
        f"{figure.routers:5}  {figure.what:<50} {figure.value:10.3f} {figure.unit:<5} "
        f"{limit:<14} {verdict}"
    ).rstrip()


def _limited(count: int, limit: float) -> float | None:
    """The limits are about so many routers; with others the figure is only shown."""
    return limit if count == BIG else None


# --- at rest ---


def resting(count: int) -> Iterator[Figure]:
    """Half of them MASTER: start, memory, idle CPU, latency of an address, /metrics."""
    masters = count // 2
    with Load(count) as load:
        load.order("master", range(masters))
        began = time.time()
        havrrpd = load.start_havrrpd()
        load.wait_right(masters)
        started = _last_listed(load) - began
        yield Figure(count, "start until all states are right", started, "s", _limited(count, 5.0))
        yield Figure(count, "CPU to start", _cpu(havrrpd.pid), "s")
        yield Figure(count, "memory (PSS)", _pss(havrrpd.pid), "MB", _limited(count, 100.0))
        share = _cpu_share(havrrpd.pid, IDLE_SECONDS)
        yield Figure(count, "idle CPU, of one core", 100 * share, "%", _limited(count, 8.0))
        yield from _latency(load)
        yield from _metrics(load)
        yield Figure(count, "memory (PSS) after that", _pss(havrrpd.pid), "MB")


def _last_listed(load: Load) -> float:
    """When the last router got its state, by havrrpd's log."""
    return max(at for at, entry in _logged(load) if entry["event"] == "instance.state_changed")


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
        _spin(lambda: not present())
        before = load.order("add", [0])["began"]
        _spin(present)
        samples.append((time.time() - before) * 1000)
    count = len(load.routers)
    p50, p99 = statistics.median(samples), statistics.quantiles(samples, n=100)[98]
    yield Figure(count, "address added -> state known, p50", p50, "ms", _limited(count, 2.0))
    yield Figure(count, "address added -> state known, p99", p99, "ms", _limited(count, 10.0))


def _spin(until: Callable[[], bool]) -> None:
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
    yield Figure(count, "/metrics", median, "ms", _limited(count, 250.0))
    yield Figure(count, "/metrics, size", size / 1e6, "MB")
    worst = max((bound for bound in after if after[bound] > before[bound]), default=0.0)
    yield Figure(
        count, "the loop late meanwhile, at most", worst * 1000, "ms", _limited(count, 25.1)
    )


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
    late, cpu = [], 0.0
    with Load(count, floating) as load:
        havrrpd = load.start_havrrpd()
        load.wait_right(0)
        overruns = _counter(load, "havrrpd_netlink_overruns_total")
        for _ in range(STORMS):
            for order, masters in (("master", count), ("backup", 0)):
                before = _cpu(havrrpd.pid)
                done = load.order(order, range(count), STORM_WITHIN)
                load.wait_right(masters)
                cpu += _cpu(havrrpd.pid) - before
                late.append(_last_listed(load) - done["ended"])
        transitions = _transitions(load)
        if set(transitions.values()) != {2 * STORMS} or len(transitions) != count:
            raise LabError(f"not {2 * STORMS} transitions each: {transitions}")
        overruns = _counter(load, "havrrpd_netlink_overruns_total") - overruns
    yield Figure(count, f"{what}: all known after", max(late), "s", _limited(count, 1.0))
    each = cpu / (2 * STORMS * count) * 1000
    limit = None if floating else _limited(count, 0.5)
    yield Figure(count, f"{what}: CPU a transition", each, "ms", limit)
    yield Figure(count, f"{what}: netlink overruns", overruns, "")


def _transitions(load: Load) -> dict[str, int]:
    return {
        router["router"]: router["instances"][0]["transitions"] - 1  # the first is its start
        for router in load.node.status(timeout=10.0)["routers"]
    }


def many_addresses(count: int) -> Iterator[Figure]:
    """One router gets 500 addresses and loses them after a second, among the others."""
    with Load(count) as load, Load(1, MANY_ADDRESSES) as one:
        load.start_havrrpd()
        load.wait_right(0)
        one.start_havrrpd()
        one.wait_right(0)
        one.order("master", [0])
        one.wait_right(1)
        time.sleep(1.0)  # as the peers are measured
        done = one.order("backup", [0])["ended"]
        one.wait_right(0)
        late = _last_listed(one) - done
        yield Figure(count, f"{MANY_ADDRESSES} addresses gone: right after", late, "s", 0.3)


# --- gateways ---


def checks(count: int) -> Iterator[Figure]:
    """Every router MASTER, two gateways each, checked every second."""
    with Load(count) as load:
        load.order("master", range(count))
        havrrpd = load.start_havrrpd(interval=1.0)
        load.wait_right(count)
        rested = _cpu_share(havrrpd.pid, 5.0)
        probes = _counter(load, "havrrpd_gateway_probes_total")
        before, began = _lag(load), time.monotonic()
        share = _cpu_share(havrrpd.pid, IDLE_SECONDS)
        probes = _counter(load, "havrrpd_gateway_probes_total") - probes
        rate = probes / (time.monotonic() - began)
        after = _lag(load)
        worst = max((bound for bound in after if after[bound] > before[bound]), default=0.0)
    yield Figure(count, "checks a second (replies by ARP, NDP or ICMP)", rate, "")
    yield Figure(count, "checks: CPU in all", 100 * share, "%", _limited(count, 35.0))
    yield Figure(count, "checks: CPU each", share / rate * 1e6, "us", _limited(count, 150.0))
    yield Figure(count, "checks: the loop late by", worst * 1000, "ms", _limited(count, 100.1))
    yield Figure(count, "checks: CPU in all, before", 100 * rested, "%")


# --- measuring ---


def _cpu(pid: int) -> float:
    """Seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _cpu_share(pid: int, seconds: float) -> float:
    before, began = _cpu(pid), time.monotonic()
    time.sleep(seconds)  # the measurement itself
    return (_cpu(pid) - before) / (time.monotonic() - began)


def _pss(pid: int) -> float:
    """MB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def _counter(load: Load, name: str) -> float:
    text = load.metrics()
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))


def _logged(load: Load) -> Iterator[tuple[float, dict[str, str]]]:
    for line in load.havrrpd.log.read_text().splitlines():
        if line.startswith("{"):
            entry = json.loads(line)
            yield datetime.fromisoformat(entry["timestamp"]).timestamp(), entry


PARTS: dict[str, Callable[[int], Iterator[Figure]]] = {
    "resting": resting,
    "storms": storms,
    "storms_with_addresses": storms_with_addresses,
    "many_addresses": many_addresses,
    "checks": checks,
}


if __name__ == "__main__":
    sys.exit(main())
