"""When keepalived's processes are looked for."""

from __future__ import annotations

import pytest

from havrrpd.sources.keepalived.schedule import Schedule

INTERVAL = 2.0


def scans(schedule: Schedule, count: int) -> list[float]:
    """The moments of the next ones, if they find nothing."""
    moments = []
    for _ in range(count):
        moments.append(round(schedule.due, 3))
        schedule.scanning(schedule.due)
    return moments


def test_a_scan_follows_every_interval() -> None:
    assert scans(Schedule(INTERVAL, 10.0), 3) == [10.0, 12.0, 14.0]


def test_what_has_ended_is_looked_for_at_once_and_again_and_again() -> None:
    schedule = Schedule(INTERVAL, 10.0)
    schedule.scanning(10.0)
    schedule.hurry(11.0)
    assert scans(schedule, 7) == [11.0, 11.05, 11.15, 11.35, 11.75, 12.55, 14.55]


def test_what_a_scan_sees_half_is_looked_at_soon() -> None:
    schedule = Schedule(INTERVAL, 10.0)
    schedule.scanning(10.0)
    schedule.soon(10.01)
    assert scans(schedule, 6) == [10.06, 10.16, 10.36, 10.76, 11.56, 13.56]


def test_two_who_want_the_next_scan_soon_put_it_off_no_further() -> None:
    schedule = Schedule(INTERVAL, 10.0)
    schedule.scanning(10.0)
    schedule.soon(10.01)
    schedule.soon(10.04)
    assert schedule.due == pytest.approx(10.06)


def test_a_short_interval_is_shortest() -> None:
    schedule = Schedule(0.1, 10.0)
    schedule.hurry(10.0)
    assert scans(schedule, 5) == [10.0, 10.05, 10.15, 10.25, 10.35]
