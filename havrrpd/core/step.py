"""One event in, the router after it and the actions to perform out. The house's front door.

    router, event, now -> observe -> lever -> states -> gateways -> election -> problems -> reports

Works on one router, in time that does not depend on how many there are. Same input, same output.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf

from msgspec.structs import replace

from havrrpd.core import election, gateways, lever, rounds
from havrrpd.core.evidence import evidence
from havrrpd.core.gateways import restored
from havrrpd.core.messages import (
    Action,
    AddressEvent,
    AdvertHeard,
    AdvertSent,
    DeadlinePassed,
    Event,
    GatewayProbed,
    ReportProblem,
    ReportTransition,
)
from havrrpd.core.model import Instance, Phase, Problem, Router
from havrrpd.core.observe import observe
from havrrpd.core.problems import problem_deadlines, with_problems
from havrrpd.core.wire import forget_silent, silent_at, told_again
from havrrpd.core.witnesses import with_state, witness_deadlines


def step(
    router: Router, event: Event, now: float, ahead: Sequence[AddressEvent] = ()
) -> tuple[Router, tuple[Action, ...]]:
    """The router after the event, and the actions that follow from it, in order.

    `ahead`: addresses that came and went right before this one. What follows from all of them is
    decided once.
    """
    if not ahead:
        return _routine(router, event, now) or _whole(router, event, now)
    for earlier in ahead:
        router = observe(router, earlier, now)
    return _whole(router, event, now)


def _routine(router: Router, event: Event, now: float) -> tuple[Router, tuple[Action, ...]] | None:
    """What comes hundreds of times a second and tells nothing new: a short way, to the same end.

    A probe, or the deadline of one, concerns the gateways alone; an advert that is expected only
    says that its sender still lives. It takes half the time, or a third. None for everything else.
    """
    match event:
        case GatewayProbed() | DeadlinePassed():
            return _probing(router, event, now)
        case AdvertSent() | AdvertHeard():
            return _living(router, event, now)
        case _:
            return None


def _probing(
    router: Router, event: GatewayProbed | DeadlinePassed, now: float
) -> tuple[Router, tuple[Action, ...]] | None:
    if election.is_undecided(router) or router.due <= now:
        return None
    after, probing = gateways.step(router, event, now)
    news = after.connectivity is not router.connectivity or restored(after) != restored(router)
    return None if news else (after, probing)


def _living(
    router: Router, event: AdvertSent | AdvertHeard, now: float
) -> tuple[Router, tuple[Action, ...]] | None:
    if not _is_calm(router) or router.due <= now:
        return None
    after = observe(router, event, now)
    if not all(map(told_again, router.instances, after.instances)):
        return None
    after, listing = gateways.step(after, event, now)
    news = rounds.step(router, after, event, now) is not after
    return None if news else (_with_due(after), listing)


def _is_calm(router: Router) -> bool:
    """Nothing is wrong, nothing seems to be, and no election is under way."""
    return (
        router.election.phase is Phase.STEADY
        and not (router.problems or router.uplinks_down)
        and not any(instance.conditions for instance in router.instances)
    )


def _whole(router: Router, event: Event, now: float) -> tuple[Router, tuple[Action, ...]]:
    before = router
    router = lever.heard(observe(router, event, now), event, now)
    router = _with_states(router, now)
    router, probing = gateways.step(router, event, now)
    router, moving = election.step(before, router, event, now)
    router = _with_due(with_problems(router, now))
    return router, (*moving, *probing, *_reports(before, router))


def next_deadline(router: Router) -> float | None:
    """When the daemon must step this router with DeadlinePassed if nothing happens before."""
    due = min((router.due, *gateways.deadlines(router)))
    return due if due < inf else None


def _with_due(router: Router) -> Router:
    """With the earliest deadline but for those of the gateways, which change with each probe."""
    due = min(_other_deadlines(router), default=inf)
    return router if due == router.due else replace(router, due=due)


def _other_deadlines(router: Router) -> Iterator[float]:
    yield from election.deadlines(router)
    yield from problem_deadlines(router)
    yield from witness_deadlines(router)
    for instance in router.instances:
        yield from (silent_at(instance, master) for master in instance.masters)


def _with_states(router: Router, now: float) -> Router:
    instances = tuple(
        with_state(router, forget_silent(instance, now), now) for instance in router.instances
    )
    return router if instances == router.instances else replace(router, instances=instances)


def _reports(before: Router, after: Router) -> Iterator[Action]:
    earlier = {instance.config.name: instance for instance in before.instances}
    for instance in after.instances:
        was = earlier.get(instance.config.name)
        yield from _transition(before, after, was, instance)
        yield from _problems(
            instance.config.name, was.problems if was else frozenset(), instance.problems
        )
    yield from _problems(None, before.problems, after.problems)


def _transition(
    before: Router, after: Router, was: Instance | None, instance: Instance
) -> Iterator[Action]:
    last = instance.last_transition
    if last and (was is None or was.last_transition is not last):
        said = evidence(before, after, instance)
        yield ReportTransition(instance.config.name, last.old, last.new, last.cause, said)


def _problems(
    instance: str | None, before: frozenset[Problem], after: frozenset[Problem]
) -> Iterator[Action]:
    if before == after:
        return
    for problem in Problem:
        if (problem in before) is not (problem in after):
            yield ReportProblem(instance, problem, problem in after)
