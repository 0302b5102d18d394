"""While an uplink of the node is down, the lever holds this node in FAULT, until all are up again.

keepalived tracks the interfaces of its own namespace, and those keep their carrier when the one of
the node that carries their network loses it. A MASTER would go on beside the one that the others
elect, with the same addresses; a BACKUP, hearing nobody, would become one. So it counts whatever
the state is, no time ends it, and it is no failed turn.
"""

from __future__ import annotations

from msgspec.structs import replace

from havrrpd.core.messages import Action
from havrrpd.core.model import Cause, Phase, Router, State
from havrrpd.core.resigning import hindrance, refusal, release_due, resign


def is_held(router: Router) -> bool:
    """Whether it is an uplink that this node resigns for: nothing else has that cause."""
    return router.election.phase is Phase.RESIGNING and router.election.cause is Cause.LINK_DOWN


def step(router: Router, now: float) -> tuple[Router, list[Action]]:
    """Begin to hold, hold on, or let go."""
    if not router.uplinks_down or hindrance(router) is not None:
        return _let_go(router), []
    if is_held(router):
        return _with_effect(router, now), []
    if refusal(router) is None:
        return resign(router, Cause.LINK_DOWN, now)
    due = release_due(router, now)
    held = replace(router.election, phase=Phase.RESIGNING, cause=Cause.LINK_DOWN, release_due=due)
    return replace(router, election=held), []


def _let_go(router: Router) -> Router:
    if not is_held(router):
        return router
    phase = Phase.DRAINED if router.election.draining else Phase.STEADY
    return replace(router, election=replace(router.election, phase=phase, release_due=None))


def _with_effect(router: Router, now: float) -> Router:
    """Whether keepalived follows the lever is looked at once: a MASTER by then does not."""
    election = router.election
    if election.release_due is None or now < election.release_due:
        return router
    without_effect = router.state is State.MASTER
    election = replace(election, release_due=None, without_effect=without_effect)
    return replace(router, election=election)
