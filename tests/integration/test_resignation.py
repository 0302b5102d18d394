"""havrrpd is killed with -9 at each phase of a resignation, and there is a MASTER again."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest

from havrrpd.core.priority import RESIGNING
from havrrpd.lab.process import Process
from havrrpd.lab.waiting import LabError, wait_until
from havrrpd.levers import track_file
from tests.integration.watched import Watched, watched

pytestmark = pytest.mark.root

QUICK_CHECK = """
[[router]]
match = "*"
interval = 0.5
timeout = 0.4
retry_interval = 0.2
fall = 4
"""
ADVERT_INT = 0.5
ACTIVE_DOWN_INTERVAL = 4 * ADVERT_INT  # at the most: RFC 9568 section 6.1
PUT_RIGHT = 5.0  # seconds from the start of havrrpd
SLACK = 5.0  # seconds, for a busy machine
A_MOMENT = 0.2  # seconds: how long a tie may take, until each has heard the other

# Given a MASTER that reaches its gateways, kills havrrpd somewhere; returns on which nodes.
Phase = Callable[[Watched, str], list[str]]


# --- the phases, in their order ---


def failures_counted(seen: Watched, master: str) -> list[str]:
    _count_failures(seen, master)
    seen.lab.kill_havrrpd(master)
    assert _standing(seen, master) > RESIGNING
    return [master]


def temporary_file_of_the_order_written(seen: Watched, master: str) -> list[str]:
    _count_failures(seen, master)
    seen.lab.havrrpd[master].signal(signal.SIGSTOP)
    _die_before_the_rename(_lever(seen, master), RESIGNING)
    seen.lab.kill_havrrpd(master)
    assert _standing(seen, master) > RESIGNING
    return [master]


def resignation_ordered(seen: Watched, master: str) -> list[str]:
    seen.lab.break_gateway(master)
    return _killed_as_it_resigns(seen)


def fault_and_nobody_master(seen: Watched, master: str) -> list[str]:
    seen.lab.break_gateway()
    address = seen.lab.routers[0].virtual_address
    wait_until(lambda: address not in seen.lab.addresses(master), 15.0, f"{master} in FAULT")
    seen.lab.kill_havrrpd(master)
    return [master]


def relieved_and_no_standing_written(seen: Watched, master: str) -> list[str]:
    _hold_until_relieved(seen, master)
    seen.lab.kill_havrrpd(master)
    assert _standing(seen, master) == RESIGNING
    return [master]


def temporary_file_of_the_standing_written(seen: Watched, master: str) -> list[str]:
    _hold_until_relieved(seen, master)
    _die_before_the_rename(_lever(seen, master), -140)
    seen.lab.kill_havrrpd(master)
    assert _standing(seen, master) == RESIGNING
    return [master]


def standing_written(seen: Watched, master: str) -> list[str]:
    seen.lab.break_gateway(master)
    _first_that_resigns(seen)
    _spin(lambda: _standing(seen, master) > RESIGNING, "the standing")
    seen.lab.kill_havrrpd(master)
    return [master]


def verdict_lost_and_dwelling(seen: Watched, master: str) -> list[str]:
    seen.lab.break_gateway()

    def dwells() -> str | None:
        phases = {node: seen.router(node)["election"]["phase"] for node in seen.lab.names}
        return next((node for node, phase in phases.items() if phase == "dwelling"), None)

    dwelling = wait_until(dwells, 30.0, "a second turn")
    seen.lab.kill_havrrpd(dwelling)
    assert _standing(seen, dwelling) > RESIGNING
    return [dwelling]


def resignation_ordered_alone(seen: Watched, master: str) -> list[str]:
    _leave_alone(seen, master)
    return _killed_as_it_resigns(seen)


def alone(seen: Watched, master: str) -> list[str]:
    _leave_alone(seen, master)
    wait_until(lambda: seen.router(master)["election"]["phase"] == "alone", 20.0, "it is alone")
    seen.lab.kill_havrrpd(master)
    return [master]


def resignation_for_a_drain_ordered(seen: Watched, master: str) -> list[str]:
    _order(seen, master, "drain")
    return _killed_as_it_resigns(seen)


def resignation_for_an_operator_ordered(seen: Watched, master: str) -> list[str]:
    _order(seen, master, "failover", seen.lab.routers[0].id)
    return _killed_as_it_resigns(seen)


def every_node_killed_as_it_resigns(seen: Watched, master: str) -> list[str]:
    seen.lab.break_gateway()
    killed: list[str] = []
    for _ in seen.lab.names:
        killed += _killed_as_it_resigns(seen, without=killed)
    return killed


def every_node_held_as_it_resigns_then_all_killed(seen: Watched, master: str) -> list[str]:
    seen.lab.break_gateway()
    held: list[str] = []
    for _ in seen.lab.names:
        held.append(_first_that_resigns(seen, without=held))
        seen.lab.havrrpd[held[-1]].signal(signal.SIGSTOP)
    for node in held:
        seen.lab.kill_havrrpd(node)
    return held


PHASES: tuple[Phase, ...] = (
    failures_counted,
    temporary_file_of_the_order_written,
    resignation_ordered,
    fault_and_nobody_master,
    relieved_and_no_standing_written,
    temporary_file_of_the_standing_written,
    standing_written,
    verdict_lost_and_dwelling,
    resignation_ordered_alone,
    alone,
    resignation_for_a_drain_ordered,
    resignation_for_an_operator_ordered,
    every_node_killed_as_it_resigns,
    every_node_held_as_it_resigns_then_all_killed,
)


@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.__name__)
def test_havrrpd_killed_at_any_phase_leaves_no_router_without_a_master(phase: Phase) -> None:
    with watched(more=QUICK_CHECK, version=3, advert_int=ADVERT_INT) as seen:
        history = History(seen)
        killed = phase(seen, seen.reachable())
        if _somebody_can_serve(seen):
            _wait_for_one_holder(seen, ACTIVE_DOWN_INTERVAL + SLACK)
        else:
            wait_until(lambda: seen.lab.holders() == [], SLACK, "all in FAULT")

        for node in killed:
            seen.lab.start_havrrpd(node)
        for node in killed:
            _wait_until_put_right(seen, node)
        _wait_for_one_holder(seen, ACTIVE_DOWN_INTERVAL + SLACK)

        seen.lab.heal_gateway()
        for node in seen.lab.names:
            seen.lab.heal_gateway(node)
        _wait_until_served_well(seen)
        spans = history.spans()
        assert spans[-1][1] == set(seen.lab.holders())
        assert max((s for s, holders in spans if len(holders) > 1), default=0.0) < A_MOMENT


class History:
    """Which nodes held the router's VRRP address, and when, as their kernels told it."""

    def __init__(self, seen: Watched) -> None:
        """Begins in a lab that has no MASTER yet; ends with it."""
        router = seen.lab.routers[0]
        self._address = router.virtual_address
        watch = ["ip", "-n", router.namespace, "-oneline", "-tshort", "monitor", "address"]
        self._watches: dict[str, Process] = {
            name: node.start(watch, f"{name}-addresses.log")
            for name, node in seen.lab.nodes.items()
        }

    def spans(self) -> list[tuple[float, frozenset[str]]]:
        """For how many seconds which nodes held it, one after the other, up to now."""
        holders: frozenset[str] = frozenset()
        spans = []
        for (at, node, held), (until, _, _) in pairwise(
            (*self._changes(), (time.time(), "", True))
        ):
            holders = holders | {node} if held else holders - {node}
            spans.append((until - at, holders))
        return spans

    def _changes(self) -> list[tuple[float, str, bool]]:
        return sorted(
            (_time_of(line), node, "Deleted" not in line)
            for node, watch in self._watches.items()
            for line in watch.log.read_text().splitlines()
            if f" {self._address} " in line
        )


def _time_of(line: str) -> float:
    return datetime.fromisoformat(line[1 : line.index("]")]).timestamp()


# --- what phases have in common ---


def _count_failures(seen: Watched, master: str) -> None:
    seen.lab.break_gateway(master)

    def counted() -> bool:
        router = seen.router(master)
        assert router["connectivity"] == "reachable"
        return any(gateway["failures_in_a_row"] for gateway in router["gateways"])

    wait_until(counted, 10.0, "a failure")


def _hold_until_relieved(seen: Watched, master: str) -> None:
    """havrrpd stands still from the moment at which it ordered the resignation."""
    seen.lab.break_gateway(master)
    _first_that_resigns(seen)
    seen.lab.havrrpd[master].signal(signal.SIGSTOP)
    others = set(seen.lab.names) - {master}
    wait_until(lambda: others & set(seen.lab.holders()), 10.0, "another MASTER")


def _leave_alone(seen: Watched, master: str) -> None:
    for node in set(seen.lab.names) - {master}:
        seen.lab.stop_keepalived(node)
    seen.lab.break_gateway()


def _order(seen: Watched, node: str, *words: str) -> None:
    """Give a command, and do not wait for its end."""
    seen.lab.node(node).start([sys.executable, "-m", "havrrpd", *words], f"{node}-command.log")


def _killed_as_it_resigns(seen: Watched, without: Iterable[str] = ()) -> list[str]:
    node = _first_that_resigns(seen, without)
    seen.lab.kill_havrrpd(node)
    assert _standing(seen, node) == RESIGNING
    return [node]


def _first_that_resigns(seen: Watched, without: Iterable[str] = ()) -> str:
    nodes = [node for node in seen.lab.names if node not in without]
    resigning: list[str] = []

    def found() -> bool:
        resigning.extend(node for node in nodes if _standing(seen, node) == RESIGNING)
        return bool(resigning)

    _spin(found, "a node that resigns")
    return resigning[0]


def _spin(until: Callable[[], bool], what: str) -> None:
    """Wait without a pause: keepalived answers the lever within a millisecond."""
    deadline = time.monotonic() + 20.0
    while not until():
        if time.monotonic() > deadline:
            raise LabError(f"{what}: not within 20 s")


def _die_before_the_rename(lever: Path, value: int) -> None:
    """The lever's own code, killed between its temporary file and the rename."""
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from havrrpd.levers import track_file\n"
        "os.replace = lambda *_: os.kill(os.getpid(), 9)\n"
        "track_file.write(Path(sys.argv[1]), int(sys.argv[2]))\n"
    )
    writer = [sys.executable, "-c", script, str(lever), str(value)]
    assert subprocess.run(writer, check=False).returncode == -signal.SIGKILL
    assert len(_temporary_files(lever)) == 1


# --- what is to be seen after a kill ---


def _somebody_can_serve(seen: Watched) -> bool:
    running = [node for node in seen.lab.names if seen.lab.keepalived[node, 1].running]
    return any(_standing(seen, node) > RESIGNING for node in running)


def _wait_for_one_holder(seen: Watched, limit: float) -> None:
    def one() -> bool:
        holders = seen.lab.holders()
        if len(holders) == 1:
            return True
        raise LabError(f"the address is on {holders}")

    wait_until(one, limit, "one MASTER")


def _wait_until_put_right(seen: Watched, node: str) -> None:
    def put_right() -> bool:
        return _standing(seen, node) > RESIGNING and not _temporary_files(_lever(seen, node))

    wait_until(put_right, PUT_RIGHT, f"the lever of {node} is put right")


def _wait_until_served_well(seen: Watched) -> None:
    def served() -> bool:
        shown = {node: seen.router(node) for node in seen.lab.names}
        masters = [node for node, router in shown.items() if router["state"] == "MASTER"]
        if len(masters) == 1 and shown[masters[0]]["connectivity"] == "reachable":
            return masters == seen.lab.holders()
        raise LabError(f"masters: {masters}")

    wait_until(served, 20.0, "one MASTER that reaches its gateways")


def _lever(seen: Watched, node: str) -> Path:
    return seen.lab.node(node).path(f"/run/havrrpd/levers/{seen.lab.routers[0].id}")


def _standing(seen: Watched, node: str) -> int:
    standing = track_file.read(_lever(seen, node))
    assert standing is not None
    return standing


def _temporary_files(lever: Path) -> list[Path]:
    return list(lever.parent.glob(".*"))
