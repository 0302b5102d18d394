"""Which router is due, and how often it is looked at."""

from __future__ import annotations

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from havrrpd.deadlines import Deadlines

ROUTERS = ("a", "b", "c")
MOMENTS = st.integers(0, 20).map(float)
SETTING = st.tuples(st.sampled_from(ROUTERS), st.none() | MOMENTS)
TAKING = MOMENTS


@given(st.lists(SETTING | TAKING))
def test_exactly_what_is_due_is_taken_the_earliest_first(orders: list[object]) -> None:
    deadlines, expected = Deadlines(), dict[str, float]()
    for order in orders:
        assert deadlines.first <= min(expected.values(), default=inf)
        match order:
            case (str(router), None):
                deadlines.set(router, None)
                expected.pop(router, None)
            case (str(router), float(due)):
                deadlines.set(router, due)
                expected[router] = due
            case float(now):
                due_by_now = {r: at for r, at in expected.items() if at <= now}
                taken = deadlines.take(now)
                assert sorted(taken) == sorted(due_by_now)
                assert [due_by_now[r] for r in taken] == sorted(due_by_now.values())
                expected = {r: at for r, at in expected.items() if at > now}
                assert deadlines.first > now


def test_a_deadline_that_moves_on_is_looked_at_once() -> None:
    deadlines = Deadlines()
    for due in range(10, 20):
        deadlines.set("a", float(due))
    assert deadlines.first == 10.0
    assert deadlines.take(10.0) == []
    assert deadlines.first == 19.0
    assert deadlines.take(19.0) == ["a"]
    assert deadlines.first == inf
