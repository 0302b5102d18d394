"""What is wrong with an instance or a router, beside its state.

Each rule says whether something looks wrong at this moment. It becomes a problem when it has
looked so for the rule's grace: what a normal transition shows for an instant is none.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from havrrpd.core.model import Instance, Problem, Router, State, Verdict
from havrrpd.core.wire import adverts_stopped_at, no_master_at
from havrrpd.core.witnesses import notified_state

_IN_ORDER = tuple(Problem)  # an enum is slow to go through

# These can appear for a moment in every transition; they need to last for `settle`.
_TRANSIENT = frozenset(
    {Problem.ADDRESSES_ORPHANED, Problem.ADDRESSES_MISSING, Problem.WITNESSES_DISAGREE}
)


def with_problems(router: Router, now: float) -> Router:
    """The router with the problems that it and its instances have at `now`."""
    instances = tuple(_judged(router, instance, now) for instance in router.instances)
    own = frozenset(_of_router(router))
    if instances == router.instances and own == router.problems:
        return router
    return replace(router, instances=instances, problems=own)


def problem_deadlines(router: Router) -> Iterator[float]:
    """When the problems would change, if nothing happened until then."""
    for instance in router.instances:
        for problem, since in instance.conditions:
            if problem not in instance.problems:
                yield since + _grace(router, problem)
        yield from _silence_deadline(router, instance)


def _silence_deadline(router: Router, instance: Instance) -> Iterator[float]:
    if not router.wire_watched or router.pid is None:
        return
    if instance.state is State.MASTER and Problem.ADVERTS_STOPPED not in instance.problems:
        yield adverts_stopped_at(router, instance)
    if instance.state is State.BACKUP and Problem.NO_MASTER_HEARD not in instance.problems:
        yield no_master_at(router, instance)


def _judged(router: Router, instance: Instance, now: float) -> Instance:
    looks_wrong = set(_of_instance(router, instance, now))
    if not looks_wrong and not instance.conditions:
        return instance
    known = dict(instance.conditions)
    conditions = tuple((p, known.get(p, now)) for p in _IN_ORDER if p in looks_wrong)
    problems = frozenset(p for p, since in conditions if now >= since + _grace(router, p))
    return replace(instance, conditions=conditions, problems=problems)


def _grace(router: Router, problem: Problem) -> float:
    return router.settings.settle if problem in _TRANSIENT else 0.0


def _of_router(router: Router) -> Iterator[Problem]:
    if router.pid is None:
        yield Problem.KEEPALIVED_DOWN
    lost = router.state is State.MASTER and router.connectivity is Verdict.LOST
    if lost:
        yield Problem.GATEWAY_UNREACHABLE
    leaving = router.election.draining or bool(router.uplinks_down)
    wanted = lost or (leaving and router.state is State.MASTER)
    missing = wanted and router.lever is None and not router.settings.observe_only
    if missing or router.election.without_effect or router.election.rewrite_due is not None:
        yield Problem.LEVER_MISSING


def _of_instance(router: Router, instance: Instance, now: float) -> Iterator[Problem]:
    if router.pid is None:
        if instance.present:
            yield Problem.ADDRESSES_ORPHANED
        return
    is_master = instance.state is State.MASTER
    if is_master and len(instance.present) < len(instance.config.virtual_addresses):
        yield Problem.ADDRESSES_MISSING
    if is_master and router.wire_watched and now >= adverts_stopped_at(router, instance):
        yield Problem.ADVERTS_STOPPED
    if is_master and _another_master_lasts(instance):
        yield Problem.DUPLICATE_MASTER
    is_backup = instance.state is State.BACKUP
    if is_backup and router.wire_watched and now >= no_master_at(router, instance):
        yield Problem.NO_MASTER_HEARD
    if _witnesses_disagree(router, instance):
        yield Problem.WITNESSES_DISAGREE


def _another_master_lasts(instance: Instance) -> bool:
    limit = 2 * instance.config.advert_int
    return any(m.last_heard - max(m.first_heard, instance.since) > limit for m in instance.masters)


def _witnesses_disagree(router: Router, instance: Instance) -> bool:
    if not router.listed:
        return False
    left_over = bool(instance.present) and instance.state is not State.MASTER
    return left_over or notified_state(instance) not in (None, instance.state)
