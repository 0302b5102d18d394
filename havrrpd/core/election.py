"""When a router gives the MASTER role up, and with what priority it comes back.

Resigning is the only move there is: write -254 (FAULT), wait until another MASTER is heard or
`release_timeout` (Active_Down_Interval + 1 s) has passed, then write the standing. VRRP decides
who follows; the standings of `priority` make an untried node win.

A round: every node that lost its gateways as MASTER is `tried`. A MASTER heard at a priority in
2..16 shows that nobody untried was left: everybody but that MASTER starts the new round untried.
The adverts are the shared memory; nothing else is exchanged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from havrrpd.core import lever
from havrrpd.core.gateways import restored
from havrrpd.core.messages import (
    Action,
    AdvertHeard,
    DrainChanged,
    Event,
    FailoverRequested,
    ReportResignation,
    Stopping,
)
from havrrpd.core.model import (
    Cause,
    Election,
    MasterHeard,
    Phase,
    Router,
    State,
    Verdict,
)
from havrrpd.core.priority import TRIED
from havrrpd.core.wire import heard_by_all


def step(before: Router, router: Router, event: Event, now: float) -> tuple[Router, list[Action]]:
    """The router after the election, and the orders for the lever.

    `before` is the router ahead of this event, `router` as witnesses and gateways left it.
    """
    router, actions = lever.found(before, router)
    router = _with_turn(before, router, now)
    router = _with_round(before, router, event, now)
    router, moved = _moved(router, event, now)
    router, written = lever.with_standing(router, now)
    return router, [*actions, *moved, *written]


def deadlines(router: Router) -> Iterator[float]:
    election = router.election
    for due in (election.release_due, election.retry_due):
        if due is not None:
            yield due
    if election.rewrite_due is not None and router.lever and election.lever_read:
        yield election.rewrite_due


def refusal(router: Router) -> str | None:
    """Why this router can't be failed over now; None if it can."""
    if router.state is not State.MASTER:
        return f"this node is not MASTER of it, it is {router.state}"
    if router.settings.observe_only:
        return "observe_only is set"
    if router.lever is None:
        return "the loaded keepalived configuration has no track file of ours (lever_missing)"
    if router.election.phase is Phase.RESIGNING:
        return "it is already resigning"
    if router.election.stopping:
        return "havrrpd is stopping"
    return None


def dwell(router: Router, turns: int) -> float:
    """How long a turn lasts at least, after so many failed ones in the same outage."""
    shortest = router.settings.health_check.time_to_lose
    return max(shortest, min(shortest * 2.0 ** min(turns, 32), router.settings.max_dwell))


def _with_turn(before: Router, router: Router, now: float) -> Router:
    if router.state is State.MASTER and before.state is not State.MASTER:
        return replace(router, election=replace(router.election, turn_since=now))
    if router.state is not State.MASTER and router.election.turn_since is not None:
        ended = replace(router.election, turn_since=None, retry_due=None, without_effect=False)
        return replace(router, election=ended)
    return router


def _with_round(before: Router, router: Router, event: Event, now: float) -> Router:
    """When the present round, or the whole outage, is over for this node."""
    election = router.election
    if router.state is State.MASTER:
        unchecked = router.settings.health_check.interval == 0
        if not (unchecked or restored(router)):
            return router
        election = replace(election, tried=False, turns=0, retry_due=None)
        if election.phase in (Phase.DWELLING, Phase.ALONE):
            election = replace(election, phase=Phase.STEADY)
    elif isinstance(event, AdvertHeard) and event.priority > 0:
        election = _after_advert(before, router, event, now)
    return router if election == router.election else replace(router, election=election)


def _after_advert(before: Router, router: Router, event: AdvertHeard, now: float) -> Election:
    election = router.election
    if election.phase is Phase.ALONE:
        election = replace(election, phase=Phase.STEADY)
    if election.phase is Phase.RESIGNING or not (election.tried or election.turns):
        return election
    over = _outage_is_over(before, router, event, now)
    if not over and event.priority not in TRIED:
        return election
    preempts = _preempts(router)
    if preempts and now < election.resigned_at + dwell(router, election.turns):
        return election  # giving `tried` up would take the role back at once
    turns = 0 if over and not preempts else election.turns
    return replace(election, tried=False, turns=turns)


def _outage_is_over(before: Router, router: Router, event: AdvertHeard, now: float) -> bool:
    """Whether that MASTER has held the role for longer than a failing turn, or says it is well."""
    master = _master(router, event)
    earlier = _master(before, event)
    if earlier and earlier.priority in TRIED and event.priority > TRIED.stop - 1:
        return True
    if master is None:
        return False
    longest_turn = dwell(router, router.election.turns + 1) + master.advert_int
    return now - master.first_heard > longest_turn


def _master(router: Router, event: AdvertHeard) -> MasterHeard | None:
    masters = (m for i in router.instances if i.config.vrid == event.vrid for m in i.masters)
    return next((m for m in masters if m.address == event.source), None)


def _moved(router: Router, event: Event, now: float) -> tuple[Router, list[Action]]:
    """Resign, release, or wait: what the phase asks for."""
    election = router.election
    if isinstance(event, DrainChanged):
        election = replace(election, draining=event.draining, drain_settled=False)
    elif isinstance(event, Stopping):
        election = replace(election, stopping=True)
    router = replace(router, election=election) if election is not router.election else router
    if election.phase is Phase.RESIGNING:
        return _released_if_due(router, now), []
    if election.draining or election.phase is Phase.DRAINED:
        router, drained = _drained(router, now)
        if drained:
            return router, drained
    if isinstance(event, FailoverRequested):
        return _resign(router, Cause.FAILOVER_REQUESTED, now)
    if router.state is not State.MASTER or router.connectivity is not Verdict.LOST:
        return _no_longer_dwelling(router), []
    return _turn_failed(router, now)


def _drained(router: Router, now: float) -> tuple[Router, list[Action]]:
    """Give the role up once for a drain, as soon as that can be done. Later this node may become
    MASTER again, as the last resort.
    """
    election = router.election
    phase = Phase.DRAINED if election.draining else Phase.STEADY
    settled = election.drain_settled or router.state in (State.BACKUP, State.FAULT)
    election = replace(election, phase=phase, drain_settled=settled)
    router = router if election == router.election else replace(router, election=election)
    if not election.draining or settled or refusal(router) is not None:
        return router, []
    election = replace(election, drain_settled=True)
    return _resign(replace(router, election=election), Cause.DRAINED, now)


def _turn_failed(router: Router, now: float) -> tuple[Router, list[Action]]:
    """The gateways are lost: resign, but not before the turn has lasted long enough.

    With preemption it is the return that waits, not the end of the turn.
    """
    if refusal(router) is not None or not router.wire_watched:
        return _no_longer_dwelling(router), []  # deaf, nobody could see who follows
    election = router.election
    due = (election.turn_since or 0.0) + dwell(router, election.turns)
    waits_after = _preempts(router) and election.phase is not Phase.ALONE
    if election.turns and now < due and not waits_after:
        phase = Phase.DWELLING if election.phase is Phase.STEADY else election.phase
        return replace(router, election=replace(election, phase=phase, retry_due=due)), []
    return _resign(router, Cause.GATEWAY_LOST, now)


def _no_longer_dwelling(router: Router) -> Router:
    election = router.election
    if election.phase is not Phase.DWELLING and election.retry_due is None:
        return router
    phase = Phase.STEADY if election.phase is Phase.DWELLING else election.phase
    return replace(router, election=replace(election, phase=phase, retry_due=None))


def _preempts(router: Router) -> bool:
    return any(i.config.preempt for i in router.instances)


def _resign(router: Router, cause: Cause, now: float) -> tuple[Router, list[Action]]:
    if refusal(router) is not None:
        return router, []
    election = router.election
    counts = dict(election.resignations)
    counts[cause] = counts.get(cause, 0) + 1
    failed_turn, by_operator = cause is Cause.GATEWAY_LOST, cause is Cause.FAILOVER_REQUESTED
    longest = max(i.config.active_down_interval for i in router.instances)
    election = replace(
        election,
        phase=Phase.RESIGNING,
        cause=cause,
        # where preemption would take the role back at once, an operator's failover counts as tried
        tried=election.tried or failed_turn or (_preempts(router) and by_operator),
        turns=election.turns + failed_turn,
        turns_total=election.turns_total + failed_turn,
        resigned_at=now,
        release_due=now + longest + 1.0,
        retry_due=None,
        resignations=tuple(counts.items()),
    )
    return replace(router, election=election), [ReportResignation(cause)]


def _released_if_due(router: Router, now: float) -> Router:
    election = router.election
    relieved = router.state is not State.MASTER and heard_by_all(router, election.resigned_at)
    timed_out = election.release_due is not None and now >= election.release_due
    abandoned = router.pid is None or router.settings.observe_only or election.stopping
    if not (relieved or timed_out or abandoned or router.lever is None):
        return router
    unrelieved = timed_out and not relieved and router.wire_watched
    alone = unrelieved and election.cause is Cause.GATEWAY_LOST
    phase = Phase.DRAINED if election.draining else Phase.ALONE if alone else Phase.STEADY
    never_left = timed_out and router.state is State.MASTER
    election = replace(
        election,
        phase=phase,
        release_due=None,
        without_effect=never_left,
        turn_since=now if never_left else election.turn_since,
    )
    return replace(router, election=election)
