"""The election in sentences: gateways, the turn that runs, the round, a drain, what holds it."""

from __future__ import annotations

from collections.abc import Iterator

from havrrpd.core.explain.wording import REASONS, counted, duration, listing, mend_lever, upcoming
from havrrpd.core.gateways import gateways_of
from havrrpd.core.model import GatewayCheck, Phase, Problem, Router, State, Verdict
from havrrpd.core.priority import (
    SMALLEST_BASE,
    TRIED,
    base_priority,
    has_room,
    preempts,
    standing,
)
from havrrpd.core.resigning import refusal
from havrrpd.core.rounds import dwell, proven_at, returns_at, would_preempt
from havrrpd.core.uplinks import is_held


def sentences(router: Router, now: float) -> Iterator[str]:
    alive = router.pid is not None
    if alive:
        yield from _gateways(router)
        yield from _phase(router, now)
        yield from _round(router, now)
    yield from _drain(router)
    if alive:
        yield from _limits(router)


# --- the gateways ---


def _gateways(router: Router) -> Iterator[str]:
    if router.state is not State.MASTER:
        if any(instance.state is State.MASTER for instance in router.instances):
            yield f"Its gateways are not checked while an instance is {router.state}."
        return
    health_check = router.settings.health_check
    if health_check.interval == 0:
        yield "Its gateways are not checked: health_check.interval is 0."
    elif router.checks:
        checks = listing(_check(router, check) for check in router.checks)
        yield f"Its gateways, checked every {duration(health_check.interval)}: {checks}."
    elif Problem.ADVERTS_STOPPED in router.all_problems:
        yield "Its gateways are not checked while it sends no adverts."
    elif not gateways_of(router):
        yield "Its gateways are not checked: none is configured, and no default route was found."


def _check(router: Router, check: GatewayCheck) -> str:
    address, missed = check.gateway.address, check.failures_in_a_row
    health_check = router.settings.health_check
    if check.verdict is Verdict.LOST and check.successes_in_a_row:
        answered = f"{check.successes_in_a_row} of {health_check.rise} probes"
        return f"{address} is lost (answered {answered} that restore it)"
    if check.verdict is Verdict.LOST:
        return f"{address} is lost (missed {counted(missed, 'probe', 'probes')} in a row)"
    if missed:
        return f"{address} has missed {missed} of the {health_check.fall} probes that lose it"
    return (
        f"{address} {'answers' if check.verdict is Verdict.REACHABLE else 'has not answered yet'}"
    )


# --- the turn ---


def _phase(router: Router, now: float) -> Iterator[str]:
    if router.election.phase is Phase.RESIGNING:
        yield from _resigning(router, now)
        return
    if router.election.phase is Phase.ALONE:
        yield _alone(router, now)
    if router.state is State.MASTER and router.connectivity is Verdict.LOST:
        yield _failing(router, now)
    elif router.state is State.MASTER:
        yield _serving(router, now)


def _resigning(router: Router, now: float) -> Iterator[str]:
    election = router.election
    after = standing(router, tried=election.tried, draining=election.draining)
    priority = f"the priority is {base_priority(router) + after}{_kind(router)}"
    if is_held(router):
        yield f"Once all uplinks are up, {priority}."
        return
    why = "" if election.cause is None else f": {REASONS[election.cause]} ({election.cause})"
    yield f"This node has been resigning for {duration(now - election.resigned_at)}{why}."
    if router.state is State.MASTER:
        yield "keepalived has not given the role up yet."
    due = election.release_due
    latest = "" if due is None else f", or {upcoming(due, now)} at the latest"
    yield f"It ends when another MASTER is heard{latest}: then {priority}{_or_untried(router)}."


def _kind(router: Router) -> str:
    if not has_room(router):
        return " again"
    election = router.election
    return " as drained" if election.draining else " as tried" if election.tried else " as untried"


def _or_untried(router: Router) -> str:
    """That MASTER can be a tried one."""
    election = router.election
    if not election.tried or election.draining or preempts(router) or not has_room(router):
        return ""
    return ", or that of the untried if a new round begins with that MASTER"


def _alone(router: Router, now: float) -> str:
    ago = duration(now - router.election.resigned_at)
    said = f"Nobody took the role when this node resigned {ago} ago"
    if router.state is State.MASTER:
        return f"{said}: it is alone, and serves what it can."
    fit = "once it is out of FAULT " if router.state is State.FAULT else ""
    return f"{said}: it is alone, and {fit}takes the role again if nobody else is heard."


def _failing(router: Router, now: float) -> str:
    """MASTER, and the gateways are lost."""
    election = router.election
    if why := refusal(router):
        return f"This node does not resign: {why}."
    if not router.wire_watched:
        return "This node does not resign: deaf to adverts, it would not know who follows."
    if election.retry_due is None:
        return "This node resigns now."
    return (
        f"{_turn(router)}; it lasts at least {duration(dwell(router, election.turns))}: this node "
        f"resigns {upcoming(election.retry_due, now)}, unless its gateways answer "
        f"{counted(router.settings.health_check.rise, 'probe', 'probes')} in a row before."
    )


def _serving(router: Router, now: float) -> str:
    """MASTER, and nothing says that it should not be."""
    election, health_check = router.election, router.settings.health_check
    if why := refusal(router):
        return f"This node can't give the role up: {why}."
    if health_check.interval == 0 or not router.wire_watched:
        asked = "a failover" if election.draining else "a drain or a failover"
        return f"This node resigns for {asked}, and for nothing else."
    which = "a gateway misses" if health_check.require == "all" else "every gateway misses"
    lost = (
        f"{which} {counted(health_check.fall, 'probe', 'probes')} in a row "
        f"({duration(health_check.time_to_lose)})"
    )
    if not election.turns or election.turn_since is None:
        return f"This node resigns when {lost}."
    began = f"began {duration(now - election.turn_since)} ago"
    if preempts(router):
        return f"{_turn(router)}; it {began}: this node resigns when {lost}, at the earliest."
    lasts = duration(dwell(router, election.turns))
    return (
        f"{_turn(router)}; it {began} and lasts at least {lasts}: after that this node resigns "
        f"when {lost}."
    )


def _turn(router: Router) -> str:
    return f"This is turn {router.election.turns + 1} of this node in this outage"


# --- the round ---


def _round(router: Router, now: float) -> Iterator[str]:
    election = router.election
    if election.phase is Phase.RESIGNING or election.draining or not has_room(router):
        return
    if router.state is State.MASTER and election.tried:
        rise = counted(router.settings.health_check.rise, "probe", "probes")
        yield f"It counts as tried until its gateways have answered {rise} in a row."
    elif router.state is State.BACKUP and election.tried:
        yield from _tried(router, now)
    elif router.state is State.BACKUP and election.turns:
        turns = counted(election.turns, "turn", "turns")
        yield f"It failed {turns} in an outage not known to be over, and is untried in this round."


def _tried(router: Router, now: float) -> Iterator[str]:
    ends = (
        f"when a MASTER is heard with a priority from {TRIED.start} to {TRIED.stop - 1} (a new "
        f"round), or when {_lasting(router, now)}"
    )
    masters = [master for instance in router.instances for master in instance.masters]
    if any(would_preempt(router, master.priority) for master in masters):
        yield "It is tried, and waits: untried, preempt would let it take the role back at once."
        yield f"That ends {ends}{_not_before(router, now)}."
        return
    yield f"It is tried: it had its turn in this round. It is untried again {ends}."


def _lasting(router: Router, now: float) -> str:
    masters = [master for instance in router.instances for master in instance.masters]
    if not masters:
        return "one MASTER stays for longer than a failing turn lasts"
    master = min(masters, key=lambda m: proven_at(router, m))
    return f"{master.address} still is MASTER {upcoming(proven_at(router, master), now)}"


def _not_before(router: Router, now: float) -> str:
    due = returns_at(router)
    if due == float("-inf"):  # tried by what a restart found in the track file
        return ""
    return f", but not before {duration(due - now)} have passed" if due > now else ""


# --- drained, and what holds it ---


def _drain(router: Router) -> Iterator[str]:
    election = router.election
    if not election.draining:
        return
    last_resort = router.lever is not None and has_room(router) and not router.settings.observe_only
    if router.state is State.MASTER and election.phase is not Phase.RESIGNING:
        if not election.drain_settled and (why := refusal(router)):
            yield f"This node is drained, and can't give the router away: {why}."
        else:
            yield "This node is drained, and MASTER all the same, as the last resort."
    elif not last_resort:
        yield "This node is drained; the priority of this router is not lowered for it."
    elif election.phase is not Phase.RESIGNING:
        yield "This node is drained: the last resort, MASTER only when nobody else takes the role."
    yield "`havrrpd undrain` ends the drain."


def _limits(router: Router) -> Iterator[str]:
    if router.settings.observe_only and router.connectivity is not Verdict.LOST:
        yield "observe_only is set: havrrpd looks, and moves nothing."
    if router.election.stopping:
        yield "havrrpd is stopping: it begins nothing new."
    missing = Problem.LEVER_MISSING in router.problems or router.settings.observe_only
    if router.lever is None and not missing:
        yield f"It has no lever: {mend_lever(router)}."
    if router.lever is None or has_room(router):
        return
    base = base_priority(router)
    if base < SMALLEST_BASE:
        yield (
            f"Its base priority {base} leaves no room to take turns ({SMALLEST_BASE} would): it is "
            "only resigned, and may be chosen again at once."
        )
    else:
        yield (
            "The base priorities of its instances differ, and one track file can't lower them "
            "alike: it is only resigned, and may be chosen again at once."
        )
