"""What an event costs with few routers and with many, on a machine that changes its pace."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.bench.figure import HAVRRPD, Figure
from tests.bench.growth import EVENTS, costs, growths, paced

START, _IDLE, _KNOWN, TRANSITION, _CHECK = EVENTS


def figures(what: str, part: str, *rows: tuple[int, float, float]) -> Iterator[Figure]:
    """Of rows of the number of routers, the value and the pace."""
    for routers, value, pace in rows:
        yield Figure(HAVRRPD, routers, what, value)
        yield Figure(HAVRRPD, routers, paced(part), pace)


def test_a_slower_machine_is_no_growth() -> None:
    seen = list(figures("storm: CPU a transition", "storms", (10, 0.5, 0.4), (1000, 1.0, 0.8)))
    assert costs(TRANSITION, seen) == pytest.approx({10: 0.75, 1000: 0.75})
    assert [figure.value for figure in growths(seen)] == [pytest.approx(1.0)]


def test_what_all_routers_cost_is_shared_by_those_beyond_the_smallest_load() -> None:
    seen = list(
        figures("CPU to start", "resting", (10, 0.7, 0.5), (110, 1.2, 0.5), (210, 2.7, 0.5))
    )
    assert costs(START, seen) == pytest.approx({110: 5.0, 210: 10.0})


def test_the_growth_is_the_worst_from_any_number_to_a_larger_one() -> None:
    rows = [(10, 0.6, 0.5), (100, 0.4, 0.5), (1000, 0.7, 0.5), (2000, 0.5, 0.5)]
    (growth,) = growths(list(figures("storm: CPU a transition", "storms", *rows)))
    assert growth.value == pytest.approx(0.7 / 0.4)
    assert not growth.holds


def test_a_part_that_failed_has_no_cost() -> None:
    rows = figures("storm: CPU a transition", "storms", (10, 0.6, 0.5), (2000, 0.6, 0.5))
    failed = Figure(HAVRRPD, 1000, "storm: CPU a transition", None, note="failed: no")
    assert costs(TRANSITION, [*rows, failed, Figure(HAVRRPD, 1000, paced("storms"), 0.5)]) == {
        10: 0.6,
        2000: 0.6,
    }


def test_a_cost_too_small_to_be_measured_is_no_growth() -> None:
    rows = figures("storm: CPU a transition", "storms", (10, 0.0, 0.5), (1000, 0.6, 0.5))
    assert [figure.value for figure in growths(list(rows))] == [1.0]
