"""Giving the MASTER role up: the only move there is, used by lost gateways, drains and operators.

Write -254 (FAULT), wait until another MASTER is heard or `release_timeout` (Active_Down_Interval
+ 1 s) has passed, then write the standing: VRRP decides who follows. A resignation that nobody
relieved means that this node is alone.
"""

from __future__ import annotations

from msgspec.structs import replace

from havrrpd.core.messages import Action, ReportResignation
from havrrpd.core.model import Cause, Phase, Router, State
from havrrpd.core.priority import preempts
from havrrpd.core.wire import heard_by_all


def refusal(router: Router) -> str | None:
    """Why this router can't be moved now; None if it can."""
    if router.state is not State.MASTER:
        return f"this node is not MASTER of it, it is {router.state}"
    if router.election.phase is Phase.RESIGNING:
        return "it is already resigning"
    return hindrance(router)


def hindrance(router: Router) -> str | None:
    """Why nothing can be ordered through the lever now; None if it can."""
    if router.settings.observe_only:
        return "observe_only is set"
    if router.lever is None:
        return "the loaded keepalived configuration has no track file of ours (lever_missing)"
    if router.election.stopping:
        return "havrrpd is stopping"
    return None


def release_due(router: Router, now: float) -> float:
    """When a resignation that begins now must have had its effect."""
    return now + max(i.config.active_down_interval for i in router.instances) + 1.0


def resign(router: Router, cause: Cause, now: float) -> tuple[Router, list[Action]]:
    """Begin to give the role up, unless it is refused."""
    if refusal(router) is not None:
        return router, []
    election = router.election
    counts = dict(election.resignations)
    counts[cause] = counts.get(cause, 0) + 1
    failed_turn, by_operator = cause is Cause.GATEWAY_LOST, cause is Cause.FAILOVER_REQUESTED
    election = replace(
        election,
        phase=Phase.RESIGNING,
        cause=cause,
        # where preemption would take the role back at once, an operator's failover counts as tried
        tried=election.tried or failed_turn or (preempts(router) and by_operator),
        waited=0,
        turns=election.turns + failed_turn,
        turns_total=election.turns_total + failed_turn,
        resigned_at=now,
        release_due=release_due(router, now),
        retry_due=None,
        resignations=tuple(counts.items()),
    )
    return replace(router, election=election), [ReportResignation(cause)]


def released_if_due(router: Router, now: float) -> Router:
    """The end of a resignation: relieved, by time, or because there is nothing to wait for."""
    election = router.election
    relieved = router.state is not State.MASTER and heard_by_all(router, election.resigned_at)
    timed_out = election.release_due is not None and now >= election.release_due
    abandoned = router.pid is None or router.settings.observe_only or election.stopping
    if not (relieved or timed_out or abandoned or router.lever is None):
        return router
    never_left = timed_out and router.state is State.MASTER
    unrelieved = timed_out and not relieved and not never_left and router.wire_watched
    alone = unrelieved and election.cause is Cause.GATEWAY_LOST
    phase = Phase.DRAINED if election.draining else Phase.ALONE if alone else Phase.STEADY
    election = replace(
        election,
        phase=phase,
        release_due=None,
        without_effect=never_left,
        turn_since=now if never_left else election.turn_since,
    )
    return replace(router, election=election)
