"""Rules of the election that are needed: without one an invariant breaks, in a history named here.

With all rules in place the same history holds. So the invariants can fail, and for these reasons.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from msgspec.structs import replace

from havrrpd.core import election, lever, priority, resigning, rounds, uplinks
from havrrpd.core.messages import Action, Event, StandingRead
from havrrpd.core.model import Election, HealthCheck, Router, State
from tests.simulation.histories import (
    AllGateways,
    Crash,
    Drain,
    Failover,
    Fault,
    Gateway,
    History,
    KillDaemon,
    KillDaemonAsItResigns,
    Start,
    Uplink,
    play,
)
from tests.simulation.invariants import InvariantBrokenError
from tests.simulation.world import scenario_of

Patch = tuple[object, str, Callable[..., Any]]


@dataclass(frozen=True, slots=True)
class Mutation:
    """A rule that is missing, the invariant that breaks, and the history that shows it."""

    name: str
    patches: tuple[Patch, ...]
    breaks: str
    history: History


# --- histories ---


def outage(
    nodes: int, *events: tuple[float, Fault], calm: float = 90.0, **scenario: Any
) -> History:
    """Every gateway is lost once a MASTER is there, and then the events."""
    made = scenario_of(nodes, **{"base": 50, "router": "r1", **scenario})
    return History(made, ((8.0, AllGateways(False)), *events), calm)


FULL = outage(3)
BUSY = outage(3, base=150, jitter=0.15)  # keepalived is late by up to 150 ms
ALONE = outage(1, max_dwell=30.0)
ONE_IS_BACK = outage(3, (11.0, Gateway(0, True)), calm=60.0)
PREEMPTING = History(
    replace(scenario_of(2, max_dwell=30.0), priorities=(150, 100), preempt=True),
    ((8.0, Gateway(0, False)),),
    90.0,
)
KILLED_ALONE = History(
    scenario_of(2),
    ((8.0, Crash(1)), (4.0, KillDaemonAsItResigns(0, after_write=True)), (0.0, Gateway(0, False))),
    30.0,
)
REPAIRED = outage(3, (20.0, AllGateways(True)), calm=150.0, max_dwell=2.0)
DRAINED = History(scenario_of(2), ((8.0, Drain(1, True)),), 90.0)
DRAINED_AS_THE_MASTER_DIES = History(  # the drained BACKUP is MASTER before the other is back
    scenario_of(2, 34, advert_int=0.2, jitter=0.0001, lag=(0.0002,), max_dwell=2.0),
    ((0.0, Crash(0)), (0.0, Drain(1, True)), (0.3, Start(0))),
    90.0,
)
DRAINED_IN_AN_OUTAGE = outage(3, (0.0, Drain(0, True)))
DAEMON_KILLED = outage(  # it forgot how long a turn lasts in this outage
    3,
    (22.0, KillDaemon(1)),
    base=34,
    advert_int=0.2,
    jitter=0.0001,
    lag=(0.0002,),
    health_check=HealthCheck(interval=1.0, timeout=0.5, retry_interval=0.25, fall=2),
)
MET = History(  # in the first round one leaves its rank, and is in line again before the good one
    scenario_of(5, 34, jitter=0.001, max_dwell=2.0, health_check=HealthCheck(interval=1.0)),
    ((9.0, AllGateways(False)), (9.0, Gateway(2, True))),
    30.0,
)
TIED = outage(3, router="r2", delay=0.002, max_dwell=2.0)
ISOLATED = History(scenario_of(2), ((8.0, Uplink(0, False)),), 30.0)
MOVED_BY_HAND = History(
    scenario_of(3, router="r2", delay=0.002),
    tuple((6.0, Failover(number % 3)) for number in range(60)),
    15.0,
)


# --- what is left out ---


def no_rank(router: Router, moved_on: int = 0) -> int:
    return 0


def no_move(router: Router, taken: object) -> int:
    return 0


def no_round(router: Router, event: object, given: Election, over: bool, now: float) -> Election:
    return replace(given, tried=False, waited=0, turns=0) if over else given


def no_waiting(router: Router, event: object, given: Election, now: float) -> Election:
    return given


def never_over(*_: object) -> bool:
    return False


def nobody_elses_turns(before: Router, given: Election, *_: object) -> Election:
    return given


def never_well(given: Election) -> Election:
    return given


def again_by_rank(router: Router, *, tried: bool, draining: bool) -> int:
    """In a later round a node has the place of the first one."""
    forgetful = replace(router, election=replace(router.election, turns=0))
    return priority.standing(forgetful, tried=tried, draining=draining)


def no_drain(router: Router, event: Event, now: float) -> tuple[Router, list[Action]]:
    return router, []


def settled_as_a_backup(router: Router, event: Event, now: float) -> tuple[Router, list[Action]]:
    """Whoever was MASTER may have died just then."""
    backup = router.state is State.BACKUP and router.election.draining
    if backup and not router.election.drain_settled:
        settled = replace(router.election, drain_settled=True)
        router = replace(router, election=settled)
    return _carry_out(router, event, now)


def drained_as_untried(router: Router, *, tried: bool, draining: bool) -> int:
    return priority.standing(router, tried=tried, draining=False)


def no_doubling(router: Router, turns: int) -> float:
    return router.settings.health_check.time_to_lose


def no_gap(router: Router, *, tried: bool, draining: bool) -> int:
    """The untried come right before the tried."""
    if tried or draining:
        return priority.standing(router, tried=tried, draining=draining)
    return priority.TRIED.stop - priority.base_priority(router)


def standing_at_once(router: Router) -> int:
    """No -254: a lower priority alone."""
    given = router.election
    return priority.standing(router, tried=given.tried, draining=given.draining)


def no_release_by_time(router: Router, now: float) -> Router:
    waiting = replace(router, election=replace(router.election, release_due=None))
    return resigning.released_if_due(waiting, now)


def no_hold_for_longer(router: Router, now: float) -> tuple[Router, list[Action]]:
    """An uplink that is down is a reason to resign, and the resignation is released by time."""
    due = router.election.release_due
    if uplinks.is_held(router) and due is not None and now >= due:
        router = replace(router, uplinks_down=frozenset())
    return _hold(router, now)


def over_at_once(*_: object) -> bool:
    return True


def no_repair_at_start(router: Router, event: object, now: float) -> Router:
    """What the lever holds is taken for what it should hold."""
    router = _heard(router, event, now)  # type: ignore[arg-type]
    if isinstance(event, StandingRead):
        return replace(router, election=replace(router.election, ordered=_wanted(router)))
    return router


def no_wait_before_the_return(router: Router) -> bool:
    return False


_heard, _wanted, _hold = lever.heard, lever._wanted, uplinks.step
_carry_out = election._drained

MUTATIONS = [
    Mutation("no rank", ((priority, "rank", no_rank),), "two masters for a moment", TIED),
    Mutation(
        "no other number",
        ((rounds, "away_from", no_move),),
        "two masters for a moment",
        MOVED_BY_HAND,
    ),
    Mutation("no round rule", ((rounds, "_with_new_round", no_round),), "3 one turn a round", BUSY),
    Mutation(
        "no order among the tried",
        ((rounds, "_having_waited", no_waiting),),
        "two masters for a moment",
        TIED,
    ),
    Mutation(
        "an outage is never over for a BACKUP",
        ((rounds, "_outage_is_over", never_over),),
        "5 an outage ends",
        REPAIRED,
    ),
    Mutation(
        "no thought of how long others dwell",
        ((rounds, "_after_resignation", nobody_elses_turns),),
        "3 one turn a round",
        DAEMON_KILLED,
    ),
    Mutation(
        "a MASTER that is well stays tried",
        ((rounds, "_well", never_well),),
        "5 an outage ends",
        REPAIRED,
    ),
    Mutation(
        "no place for the untried again",
        ((lever, "standing", again_by_rank),),
        "2 gateway found",
        MET,
    ),
    Mutation("no drain", ((election, "_drained", no_drain),), "5 drained", DRAINED),
    Mutation(
        "a drain is settled for a BACKUP that heard nobody",
        ((election, "_drained", settled_as_a_backup),),
        "5 drained",
        DRAINED_AS_THE_MASTER_DIES,
    ),
    Mutation(
        "a drained node is as good as another",
        ((lever, "standing", drained_as_untried),),
        "5 last resort",
        DRAINED_IN_AN_OUTAGE,
    ),
    Mutation(
        "no doubling",
        ((rounds, "dwell", no_doubling), (election, "dwell", no_doubling)),
        "4 ever rarer",
        ALONE,
    ),
    Mutation("no gap", ((lever, "standing", no_gap),), "3 one turn a round", BUSY),
    Mutation(
        "the standing before the resignation",
        ((lever, "_wanted", standing_at_once),),
        "2 gateway found",
        ONE_IS_BACK,
    ),
    Mutation(
        "no release by time",
        ((election, "released_if_due", no_release_by_time),),
        "6 some master",
        ALONE,
    ),
    Mutation(
        "no hold for as long as an uplink is down",
        ((uplinks, "step", no_hold_for_longer),),
        "1 one master",
        ISOLATED,
    ),
    Mutation(
        "the outage is over at once",
        ((rounds, "_outage_is_over", over_at_once),),
        "3 one turn a round",
        FULL,
    ),
    Mutation(
        "no repair of the lever at start",
        ((lever, "heard", no_repair_at_start),),
        "6 some master",
        KILLED_ALONE,
    ),
    Mutation(
        "no wait before a return by preemption",
        ((rounds, "preempts", no_wait_before_the_return),),
        "4 ever rarer",
        PREEMPTING,
    ),
]


def played(history: History) -> None:
    """Raises for two masters for a moment in more than one turn of twenty as well.

    Preemption takes the role from a MASTER that serves: there they are what the operator asked for.
    """
    invariants = play(history)
    if not history.scenario.preempt and invariants.blips > 0.05 * invariants.turns:
        seen = f"{invariants.blips} of {invariants.turns} turns"
        raise InvariantBrokenError("two masters for a moment", 0.0, seen)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_without_the_rule_an_invariant_breaks(
    mutation: Mutation, monkeypatch: pytest.MonkeyPatch
) -> None:
    played(mutation.history)
    for module, name, other in mutation.patches:
        monkeypatch.setattr(module, name, other)
    with pytest.raises(InvariantBrokenError) as broken:
        played(mutation.history)
    assert broken.value.invariant == mutation.breaks
