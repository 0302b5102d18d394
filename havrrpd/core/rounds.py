"""Who had a turn: the `tried` flag, the rule that begins a new round, and the end of an outage.

A node that lost its gateways as MASTER is `tried`, and far behind the untried in the next
election. A MASTER heard at a priority of the tried shows that nobody untried was left: a new
round began, and everybody but that MASTER is untried again. So each node has one turn a round,
and by the turns that it `waited` for, those of the others since its own, all rounds have one order.
The adverts are the shared memory; nothing else is exchanged, and a node that joins is untried.

The outage is over for a MASTER whose gateways answer, and for a BACKUP that hears the same MASTER
for longer than a failing turn lasts, or hears it say so by the priority of the untried. How long
others dwell is not in the adverts: a node goes by its own turns and by the longest one it heard.
"""

from __future__ import annotations

from msgspec.structs import replace

from havrrpd.core.gateways import restored
from havrrpd.core.messages import AdvertHeard, Event
from havrrpd.core.model import Election, MasterHeard, Phase, Router, State
from havrrpd.core.priority import TRIED, away_from, base_priority, preempts
from havrrpd.core.wire import MOST_MASTERS

MOST_DOUBLINGS = 32  # by then it is max_dwell
HEARD_LATE = 1.0  # seconds by which a turn that was due to end is heard to last longer


def step(before: Router, router: Router, event: Event, now: float) -> Router:
    """The router after what the event says about the round. `before`: ahead of the event."""
    election = router.election
    if _lost_a_tie(before, router):  # the winner's turn began while this node was MASTER too
        election = replace(election, waited=election.waited + 1)
    if router.state is State.MASTER:
        well = router.settings.health_check.interval == 0 or restored(router)
        if well and election.phase is not Phase.RESIGNING:
            election = _well(election)
    elif isinstance(event, AdvertHeard) and event.priority > 0:
        election = _after_advert(before, router, election, event, now)
    elif isinstance(event, AdvertHeard):
        election = _after_resignation(before, election, event, now)
    return router if election == router.election else replace(router, election=election)


def dwell(router: Router, turns: int) -> float:
    """How long a turn lasts at least, after so many failed ones in the same outage."""
    shortest = router.settings.health_check.time_to_lose
    doubled = shortest * 2.0 ** min(turns, MOST_DOUBLINGS)
    return max(shortest, min(doubled, router.settings.max_dwell))


def proven_at(router: Router, master: MasterHeard) -> float:
    """When a MASTER has served for longer than a failing turn lasts: then the outage is over."""
    election = router.election
    own = dwell(router, election.turns + 1)
    others = min(2 * election.longest_heard, router.settings.max_dwell)
    return master.first_heard + max(own, others) + master.advert_int


def would_preempt(router: Router, priority: int) -> bool:
    """Whether this node, untried, would take the role from a MASTER of that priority at once."""
    return preempts(router) and base_priority(router) > priority


def returns_at(router: Router) -> float:
    """Before that a tried node whose return would preempt does not become untried."""
    return router.election.resigned_at + dwell(router, router.election.turns)


def _well(election: Election) -> Election:
    """A MASTER that reaches its gateways, or has none to check."""
    held = election.phase not in (Phase.DWELLING, Phase.ALONE)
    phase = election.phase if held else Phase.STEADY
    return replace(
        election, phase=phase, tried=False, waited=0, turns=0, longest_heard=0.0, retry_due=None
    )


def _lost_a_tie(before: Router, router: Router) -> bool:
    election = router.election
    in_outage = (election.tried or election.turns > 0) and not preempts(router)
    gave_way = before.state is State.MASTER and router.state is State.BACKUP
    return in_outage and gave_way and election.phase is not Phase.RESIGNING


def _after_advert(
    before: Router, router: Router, election: Election, event: AdvertHeard, now: float
) -> Election:
    if election.phase is Phase.ALONE:
        election = replace(election, phase=Phase.STEADY)
    if event.priority not in TRIED:
        election = _out_of_the_way(router, election, event)
    if not (election.tried or election.turns):
        return election
    election = _having_waited(router, event, election, now)
    over = _outage_is_over(before, router, event, now)
    if over or event.priority in TRIED:
        return _with_new_round(router, event, election, over, now)
    return election


def _out_of_the_way(router: Router, election: Election, event: AdvertHeard) -> Election:
    """Remember the priority of an untried MASTER, and keep away from it."""
    heard = (event.source, event.priority)
    if heard not in election.taken:
        others = tuple(known for known in election.taken if known[0] != event.source)
        election = replace(election, taken=(*others, heard)[-MOST_MASTERS:])
    moved_on = away_from(router, [priority for _, priority in election.taken])
    return election if moved_on == election.moved_on else replace(election, moved_on=moved_on)


def _after_resignation(
    before: Router, election: Election, event: AdvertHeard, now: float
) -> Election:
    """A turn of another node ended. One that lasted longer than any dwell was no failing one."""
    master = _master(before, event)
    lasted = 0.0 if master is None else now - master.first_heard
    longest = dwell(before, MOST_DOUBLINGS) + HEARD_LATE
    if not election.longest_heard < lasted <= longest:
        return election
    return replace(election, longest_heard=lasted)


def _with_new_round(
    router: Router, event: AdvertHeard, election: Election, over: bool, now: float
) -> Election:
    """Untried, unless that would take the role back at once: there the return waits."""
    if not would_preempt(router, event.priority):
        if over:
            election = replace(election, turns=0, waited=0, longest_heard=0.0, taken=())
        return replace(election, tried=False)
    if now < returns_at(router):
        return election
    return replace(election, tried=False)


def _having_waited(router: Router, event: AdvertHeard, election: Election, now: float) -> Election:
    """One turn longer when another node's begins; where preemption rules, the order is given.

    A resignation begins one turn, even if two nodes become MASTER for a moment.
    """
    instance = next(iter(router.instances), None)  # instances move together: one turn
    if instance is None or event.vrid != instance.config.vrid or preempts(router):
        return election
    if election.phase is Phase.RESIGNING:  # it relieves this node: the turn after the own one
        return election
    began = [m for m in instance.masters if m.first_heard > instance.evidence.peer_resigned]
    if [(m.address, m.first_heard) for m in began] != [(event.source, now)]:
        return election
    return replace(election, waited=election.waited + 1)


def _outage_is_over(before: Router, router: Router, event: AdvertHeard, now: float) -> bool:
    """Whether that MASTER has held the role for longer than a failing turn, or says it is well."""
    earlier, master = _master(before, event), _master(router, event)
    if earlier is None or master is None or master.first_heard != earlier.first_heard:
        return False
    risen = earlier.priority in TRIED and master.priority >= TRIED.stop
    if risen and not preempts(router):  # there it rises after a dwell, well or not
        return True
    return now > proven_at(router, master)


def _master(router: Router, event: AdvertHeard) -> MasterHeard | None:
    masters = (m for i in router.instances if i.config.vrid == event.vrid for m in i.masters)
    return next((m for m in masters if m.address == event.source), None)
