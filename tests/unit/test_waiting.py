"""Waiting for a drain: what ends it, and what it says then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from havrrpd.waiting import LIMIT, Outcome, wait_for_drain


def router(
    name: str,
    state: str,
    phase: str = "steady",
    heard: tuple[str, ...] = (),
    uplinks_down: tuple[str, ...] = (),
) -> dict[str, Any]:
    masters = [{"address": address} for address in heard]
    instance = {"state": state, "masters_heard": masters}
    election = {"phase": phase, "uplinks_down": list(uplinks_down)}
    return {"router": name, "election": election, "instances": [instance]}


def waited(*answers: list[dict[str, Any]], seconds: float = 1.0) -> Outcome:
    """What comes of these answers, one every so many seconds, the last one for ever."""
    given = iter(answers)
    last = answers[-1]

    def ask() -> dict[str, Any]:
        return {"draining": True, "routers": next(given, last)}

    return wait_for_drain(ask, clock(seconds), lambda _: None)


def clock(seconds: float) -> Callable[[], float]:
    def ticks() -> Iterator[float]:
        now = 0.0
        while True:
            yield now
            now += seconds

    ticking = ticks()
    return lambda: next(ticking)


def test_a_router_is_given_away_when_another_master_is_heard() -> None:
    outcome = waited(
        [router("a", "MASTER", "resigning")],
        [router("a", "FAULT", "resigning")],
        [router("a", "BACKUP", "drained", ("169.254.192.2",))],
    )
    assert outcome == Outcome(True, "drained: no router is MASTER here, after 3.0 s")


def test_a_router_that_nobody_took_over_yet_is_waited_for() -> None:
    outcome = waited(
        [router("a", "FAULT", "resigning")],
        [router("a", "FAULT", "drained")],
        [router("a", "BACKUP", "drained")],
        [router("a", "BACKUP", "drained", ("169.254.192.2",))],
    )
    assert outcome == Outcome(True, "drained: no router is MASTER here, after 4.0 s")


def test_a_router_that_comes_back_is_said_to_be_here() -> None:
    outcome = waited(
        [router("a", "FAULT", "resigning"), router("b", "FAULT", "resigning")],
        [router("a", "BACKUP", "drained"), router("b", "BACKUP", "drained", ("169.254.192.2",))],
        [router("a", "MASTER", "drained"), router("b", "BACKUP", "drained", ("169.254.192.2",))],
    )
    assert outcome == Outcome(False, "draining, but still MASTER here: nobody took over a")


def test_a_router_that_does_not_move_is_told_from_one_that_nobody_took() -> None:
    outcome = waited(
        [router("a", "FAULT", "resigning"), router("b", "MASTER", "drained")],
        [router("a", "MASTER", "drained"), router("b", "MASTER", "drained")],
    )
    assert outcome == Outcome(
        False,
        "draining, but still MASTER here: nobody took over a; "
        "b can't be moved, havrrpd explain says why",
    )


def test_a_router_that_still_resigns_is_waited_for_whatever_the_others_do() -> None:
    outcome = waited(
        *([[router("a", "MASTER", "drained"), router("b", "FAULT", "resigning")]] * 5),
        [router("a", "MASTER", "drained"), router("b", "BACKUP", "drained", ("169.254.192.2",))],
    )
    assert not outcome.good
    assert outcome.text.endswith("a can't be moved, havrrpd explain says why")


def test_a_router_that_can_not_be_master_here_is_not_waited_for() -> None:
    outcome = waited([router("a", "STOPPED"), router("b", "FAULT")])
    assert outcome == Outcome(True, "drained: no router is MASTER here, after 1.0 s")


def test_a_router_that_a_dead_uplink_holds_in_fault_is_not_waited_for() -> None:
    outcome = waited([router("a", "FAULT", "resigning", uplinks_down=("eth-ovl",))])
    assert outcome == Outcome(True, "drained: no router is MASTER here, after 1.0 s")


def test_silence_ends_the_wait_with_the_routers_that_nobody_serves() -> None:
    outcome = waited([router("a", "BACKUP", "drained")], seconds=LIMIT)
    assert outcome == Outcome(False, "no other MASTER was heard within 60 s: a")
