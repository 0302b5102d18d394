"""When a router moves: what lost gateways, a drain or an operator ask for, and when it is done.

There is one move, to resign (`resigning`); who had a turn is kept by `rounds`; the standings of
`priority` make an untried node win the next election, which VRRP holds and nobody else. A node
whose `uplinks` are down takes no part in it.

A turn that failed ends at once the first time, and lasts twice as long each time this node has
its turn again in the same outage, up to max_dwell: moving helps nobody while every node is cut off.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from havrrpd.core import lever, rounds, uplinks
from havrrpd.core.messages import (
    Action,
    AdvertHeard,
    DrainChanged,
    Event,
    FailoverRequested,
    Stopping,
)
from havrrpd.core.model import Cause, Phase, Router, State, Verdict
from havrrpd.core.priority import preempts
from havrrpd.core.resigning import refusal, released_if_due, resign
from havrrpd.core.rounds import dwell


def step(before: Router, router: Router, event: Event, now: float) -> tuple[Router, list[Action]]:
    """The router after the election, and the orders for the lever.

    `before` is the router ahead of this event, `router` as witnesses and gateways left it.
    """
    router, actions = lever.found(before, router)
    router = _with_turn(before, router, now)
    router = rounds.step(before, router, event, now)
    router, moved = _moved(router, event, now)
    router, written = lever.with_standing(before, router, now)
    return router, [*actions, *moved, *written]


def deadlines(router: Router) -> Iterator[float]:
    election = router.election
    for due in (election.release_due, election.retry_due):
        if due is not None:
            yield due
    if election.rewrite_due is not None and router.lever and election.lever_read:
        yield election.rewrite_due


def is_undecided(router: Router) -> bool:
    """Whether a move waits for the next event, whatever that is: no deadline stands for it."""
    election = router.election
    return election.without_effect or (election.draining and not election.drain_settled)


def _with_turn(before: Router, router: Router, now: float) -> Router:
    if router.state is State.MASTER and before.state is not State.MASTER:
        return replace(router, election=replace(router.election, turn_since=now))
    if router.state is not State.MASTER and router.election.turn_since is not None:
        ended = replace(router.election, turn_since=None, retry_due=None, without_effect=False)
        return replace(router, election=ended)
    return router


def _moved(router: Router, event: Event, now: float) -> tuple[Router, list[Action]]:
    """Hold, resign, release, or wait: what the links and the phase ask for."""
    election = router.election
    if isinstance(event, DrainChanged):
        election = replace(election, draining=event.draining, drain_settled=False)
    elif isinstance(event, Stopping):
        election = replace(election, stopping=True)
    router = replace(router, election=election) if election is not router.election else router
    router, held = uplinks.step(router, now)
    election = router.election
    if uplinks.is_held(router):
        return router, held
    if election.phase is Phase.RESIGNING:
        return released_if_due(router, now), []
    if election.draining or election.phase is Phase.DRAINED:
        router, drained = _drained(router, event, now)
        if drained:
            return router, drained
    if isinstance(event, FailoverRequested):
        return resign(router, Cause.FAILOVER_REQUESTED, now)
    if router.state is not State.MASTER or router.connectivity is not Verdict.LOST:
        return _no_longer_dwelling(router), []
    return _turn_failed(router, now)


def _drained(router: Router, event: Event, now: float) -> tuple[Router, list[Action]]:
    """Give the role up once for a drain, as soon as that can be done. Later this node may become
    MASTER again, as the last resort.

    A BACKUP has nothing to give up once it hears a MASTER: the one that it knew may have just died.
    """
    election = router.election
    phase = Phase.DRAINED if election.draining else Phase.STEADY
    heard = isinstance(event, AdvertHeard) and event.priority > 0
    relieved = heard and router.state is State.BACKUP
    settled = election.drain_settled or relieved or router.state is State.FAULT
    election = replace(election, phase=phase, drain_settled=settled)
    router = router if election == router.election else replace(router, election=election)
    if not election.draining or settled or refusal(router) is not None:
        return router, []
    election = replace(election, drain_settled=True)
    return resign(replace(router, election=election), Cause.DRAINED, now)


def _turn_failed(router: Router, now: float) -> tuple[Router, list[Action]]:
    """The gateways are lost: resign, but not before the turn has lasted long enough.

    With preemption it is the return that waits, not the end of the turn; but a node that was
    elected as a tried one stays: nobody untried was left.
    """
    if refusal(router) is not None or not router.wire_watched:
        return _no_longer_dwelling(router), []  # deaf, nobody could see who follows
    election = router.election
    due = (election.turn_since or 0.0) + dwell(router, election.turns)
    waits_after = preempts(router) and not election.tried
    if election.turns and now < due and not waits_after:
        phase = Phase.DWELLING if election.phase is Phase.STEADY else election.phase
        if (election.phase, election.retry_due) != (phase, due):
            router = replace(router, election=replace(election, phase=phase, retry_due=due))
        return router, []
    return resign(router, Cause.GATEWAY_LOST, now)


def _no_longer_dwelling(router: Router) -> Router:
    election = router.election
    if election.phase is not Phase.DWELLING and election.retry_due is None:
        return router
    phase = Phase.STEADY if election.phase is Phase.DWELLING else election.phase
    return replace(router, election=replace(election, phase=phase, retry_due=None))
