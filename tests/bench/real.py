"""A hundred routers with real keepalived on each of two nodes: one of them dies, and again."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from havrrpd.lab.lab import Lab
from havrrpd.lab.waiting import wait_until
from havrrpd.lab.wire import Sent, Wire
from tests.bench.figure import HAVRRPD, Figure
from tests.bench.log import Changes
from tests.bench.scale import CHANGE_LIMIT, cpu, cpu_share, pss, rest

ROUTERS = 100  # with levers on one node: root has 128 inotify instances on most hosts
STORMS = 3
IDLE_SECONDS = 10.0
LIMIT = 120.0  # seconds to build or to settle
WATCHED, OTHER = "network1", "network2"


def measure() -> Iterator[Figure]:
    # No checks: on the lab's one bridge each ARP request is flooded to all routers within our call.
    plan: dict[str, Any] = {
        "nodes": 2,
        "routers": ROUTERS,
        "unlevered": [OTHER],
        "health_interval": 0.0,
    }
    with Lab(keep_logs=True, **plan) as lab, Wire(lab) as wire:
        wait_until(lambda: _is_settled(lab), LIMIT, "one MASTER of each")
        yield from _start(lab)
        rest(lab.havrrpd[WATCHED].pid)
        share = cpu_share(lab.havrrpd[WATCHED].pid, IDLE_SECONDS)
        yield _figure("real keepalived: memory (PSS)", pss(lab.havrrpd[WATCHED].pid), "MB")
        yield _figure("real keepalived: idle CPU, of one core", 100 * share, "%")
        yield from _storms(lab, wire)


def _start(lab: Lab) -> Iterator[Figure]:
    lab.stop_havrrpd(WATCHED)
    lab.havrrpd[WATCHED].log.unlink()
    began = time.time()
    lab.start_havrrpd(WATCHED)
    changes = Changes(lab.havrrpd[WATCHED].log)
    changes.wait(ROUTERS, CHANGE_LIMIT)
    yield _figure("real keepalived: start until all states are right", changes.last() - began, "s")


def _storms(lab: Lab, wire: Wire) -> Iterator[Figure]:
    """The other node's keepaliveds die: ours become MASTER one after another, and say so."""
    havrrpd, changes = lab.havrrpd[WATCHED], Changes(lab.havrrpd[WATCHED].log)
    late, used, moved = [], 0.0, 0
    for _ in range(STORMS):
        lab.stop_keepalived(WATCHED)
        lab.restart_keepalived(WATCHED)
        wait_until(lambda: _is_settled(lab), LIMIT, "one MASTER of each")
        masters = _states(lab, OTHER)["MASTER"]
        before, changed, began = cpu(havrrpd.pid), len(changes.times()), time.time()
        lab.kill_keepalived(OTHER)
        changes.wait(changed + masters, CHANGE_LIMIT)
        used += cpu(havrrpd.pid) - before
        moved += masters
        late.append(changes.last() - _last_takeover(wire, began))
        wait_until(lambda: _states(lab, WATCHED)["MASTER"] == ROUTERS, LIMIT, "MASTER of all")
        lab.restart_keepalived(OTHER)
        wait_until(lambda: _states(lab, OTHER)["BACKUP"] == ROUTERS, LIMIT, "BACKUP of all")
    yield _figure("real keepalived, a storm: all known after the last advert", max(late), "s")
    yield _figure("real keepalived, a storm: CPU a transition", used / moved * 1000, "ms")


def _states(lab: Lab, node: str) -> Counter[str]:
    return Counter(router["state"] for router in lab.node(node).status()["routers"])


def _is_settled(lab: Lab) -> bool:
    """Whether each router is MASTER on one node and BACKUP on the other."""
    here, there = _states(lab, WATCHED), _states(lab, OTHER)
    return (
        here["MASTER"] == there["BACKUP"]
        and here["BACKUP"] == there["MASTER"]
        and here["MASTER"] + here["BACKUP"] == ROUTERS
    )


def _last_takeover(wire: Wire, began: float) -> float:
    """When the last router sent its first advert from our node, wall clock."""
    before = {sent.vrid for sent in wire.adverts(began - 2.0) if sent.at < began and _is_ours(sent)}
    first: dict[int, float] = {}
    for sent in wire.adverts(began):
        if _is_ours(sent) and sent.vrid not in before:
            first.setdefault(sent.vrid, sent.at)
    return max(first.values())


def _is_ours(sent: Sent) -> bool:
    return sent.node == WATCHED and sent.priority > 0


def _figure(what: str, value: float, unit: str) -> Figure:
    return Figure(HAVRRPD, ROUTERS, what, value, unit)


def main() -> int:
    for figure in measure():
        print(figure, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
