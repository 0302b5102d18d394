"""The books and the verdicts of `make soak`; the soak itself takes half an hour."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.faults.rows import ROWS
from tests.soak.effects import ALONE, EFFECTS, FORGETTING, RESTARTING
from tests.soak.ledger import Ledger, counted
from tests.soak.usage import Usage, growth, leaks

METRICS = """# HELP havrrpd_vrrp_transitions_total Transitions.
havrrpd_vrrp_transitions_total{router="r1",vrrp_instance="VR_1",to="MASTER",cause="peer_silent"} 2.0
havrrpd_vrrp_transitions_total{router="r1",vrrp_instance="VR_1",to="FAULT",cause="link_down"} 0.0
havrrpd_vrrp_transitions_total{router="r2",vrrp_instance="VR_2",to="BACKUP",cause="started"} 1.0
havrrpd_resignations_total{router="r2",cause="failover_requested"} 3.0
"""
KEY = ("network1", "r1")


def used(
    at: float, memory: float, descriptors: int = 100, tasks: int = 9, threads: int = 20
) -> Usage:
    return Usage(at, memory, descriptors, threads, 0, tasks)


def test_each_fault_of_the_soak_is_a_row_of_the_matrix() -> None:
    assert {*EFFECTS, *ALONE} <= {row.name for row in ROWS}
    assert {*EFFECTS, *ALONE} >= FORGETTING | RESTARTING
    assert not set(EFFECTS) & set(ALONE)


def test_transitions_and_resignations_are_read_from_the_metrics() -> None:
    assert counted(METRICS) == {
        "r1": Counter({"MASTER because of peer_silent": 2}),
        "r2": Counter(
            {"BACKUP because of started": 1, "resigned because of failover_requested": 3}
        ),
    }


def test_the_books_tell_what_a_fault_added_and_take_it_as_right() -> None:
    ledger = Ledger()
    ledger.opens(KEY, Counter(a=1))
    assert ledger.book(KEY, Counter(a=1, b=2)) == Counter(b=2)
    assert ledger.differences({KEY: Counter(a=1, b=2)}) == []


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (Counter(a=2), "network1, r1: +1 a"),
        (Counter(), "network1, r1: -1 a"),
        (Counter(a=1, b=1), "network1, r1: +1 b"),
    ],
)
def test_what_was_counted_beside_the_faults_is_a_difference(now: Counter[str], said: str) -> None:
    ledger = Ledger()
    ledger.opens(KEY, Counter(a=1))
    assert ledger.differences({KEY: now}) == [said]


def test_a_router_whose_counters_are_gone_is_a_difference() -> None:
    ledger = Ledger()
    ledger.opens(KEY, Counter(a=1))
    assert ledger.differences({}) == ["network1, r1: -1 a"]


def test_growth_is_the_slope_an_hour() -> None:
    assert growth([used(t, 50 + t / 3600 * 2.5) for t in range(0, 1800, 10)]) == pytest.approx(2.5)
    assert growth([used(0, 50)]) == 0.0


def test_memory_that_goes_up_and_down_is_no_leak_and_a_steady_growth_is() -> None:
    steady = [used(t, 50 + 0.2 * (t % 3)) for t in range(1800)]
    growing = [used(t, 50 + t / 3600 * 4) for t in range(1800)]
    assert leaks(steady, steady[0], steady[-1]) == []
    assert leaks(growing, growing[0], growing[-1]) == ["memory: 4.00 MB an hour"]


def test_more_descriptors_or_tasks_at_rest_are_a_leak() -> None:
    found = leaks([used(0, 50)], used(0, 50), used(9, 50, descriptors=101, tasks=11))
    assert found == ["descriptors: 100 before, 101 after", "tasks: 9 before, 11 after"]


def test_threads_of_pools_come_when_they_are_needed_and_more_are_a_leak() -> None:
    assert leaks([used(0, 50)], used(0, 50), used(9, 50, threads=48)) == []
    found = leaks([used(0, 50)], used(0, 50), used(9, 50, threads=49))
    assert found == ["threads: 20 before, 49 after"]
