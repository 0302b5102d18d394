"""The role of each instance in sentences, and what would change it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec.structs import replace

from havrrpd.core.explain.wording import REASONS, duration, listing
from havrrpd.core.model import (
    Cause,
    Instance,
    InstanceConfig,
    MasterHeard,
    Router,
    State,
    Transition,
    Word,
)
from havrrpd.core.priority import RESIGNING, TRIED, effective_priority, has_room
from havrrpd.core.wire import silent_at
from havrrpd.core.witnesses import supported_state


def of_each_instance(router: Router, now: float) -> Iterator[str]:
    """The state, since when and why, and who is MASTER."""
    return _of_each(router, now, _state)


def chances_of_each_instance(router: Router, now: float) -> Iterator[str]:
    """With what priority it stands in the election, and what that is good for."""
    return _of_each(router, now, _chances)


def _of_each(
    router: Router, now: float, tell: Callable[[Router, Instance, float], Iterator[str]]
) -> Iterator[str]:
    for instance in router.instances:
        about = f"{instance.config.name}: " if len(router.instances) > 1 else ""
        for sentence in tell(router, instance, now):
            yield about + sentence


def _state(router: Router, instance: Instance, now: float) -> Iterator[str]:
    yield _since(instance, now)
    match instance.state:
        case State.MASTER:
            yield from (_heard(router, master, now) for master in instance.masters)
        case State.BACKUP:
            yield from (_heard(router, master, now) for master in instance.masters)
            if router.wire_watched and not instance.masters:
                yield from _nobody_heard(router, instance, now)
        case State.FAULT:
            yield from _as_fault(router, instance)
        case State.STOPPED:
            yield from _as_stopped(router, instance)
        case State.INIT:
            yield from _as_init(router)
    if instance.disagreement is not None:
        supported = supported_state(router, instance, now)
        yield (
            f"Its witnesses have differed for {duration(now - instance.disagreement)}: if they "
            f"still do after {duration(router.settings.settle)}, kernel and process are believed, "
            f"which say {supported}."
        )


def _since(instance: Instance, now: float) -> str:
    last, lasting = instance.last_transition, duration(now - instance.since)
    if last is None or last.new is not instance.state:
        return f"{instance.state} for {lasting}."
    at_least = "at least " if last.old is State.INIT else ""
    return f"{instance.state} for {at_least}{lasting}: {_reason(last)} ({last.cause})."


def _reason(last: Transition) -> str:
    if last.cause is Cause.STARTED and last.old is State.INIT:
        return "so it was when havrrpd looked"
    if last.cause is Cause.PREEMPTED and last.new is State.MASTER:
        return "its priority was above that of the MASTER before it"
    if last.new is State.BACKUP and last.old is State.FAULT:
        return f"back from a FAULT; {REASONS[last.cause]}"
    return REASONS[last.cause]


def _heard(router: Router, master: MasterHeard, now: float) -> str:
    of_tried = has_room(router) and master.priority in TRIED
    return (
        f"{master.address} is heard as MASTER with priority {master.priority}"
        f"{' (that of a tried node)' if of_tried else ''}: for "
        f"{duration(now - master.first_heard)}, the last time {_ago(master.last_heard, now)}."
    )


def _nobody_heard(router: Router, instance: Instance, now: float) -> Iterator[str]:
    last = max(instance.evidence.master_heard, instance.evidence.peer_resigned)
    config = _in_use(router, instance)
    then = f"after {duration(config.active_down_interval)} of silence"
    if last < router.wire_since:
        heard = f"has been heard since havrrpd began to listen {_ago(router.wire_since, now)}"
    elif instance.evidence.peer_resigned == last:
        heard = f"is heard; the last one resigned {_ago(last, now)}"
        if instance.since <= last:
            then = f"{duration(config.skew_time)} after that"
    else:
        heard = f"is heard; the last advert of one came {_ago(last, now)}"
    yield f"No MASTER {heard}: keepalived takes the role {then}."


def _chances(router: Router, instance: Instance, now: float) -> Iterator[str]:
    if instance.state not in (State.MASTER, State.BACKUP):
        return
    yield _priority(router, instance)
    if instance.state is State.BACKUP and instance.masters:
        yield _would_follow(router, instance)
    resigned = instance.evidence.own_resigned >= instance.last_sent
    if instance.state is State.MASTER and instance.priority_seen is not None and not resigned:
        ago = _ago(instance.last_sent, now)
        yield f"Its last advert, {ago}, said priority {instance.priority_seen}."


def _would_follow(router: Router, instance: Instance) -> str:
    """What would make this node MASTER. Others may be quicker: a BACKUP sends nothing."""
    config = _in_use(router, instance)
    master = max(instance.masters, key=lambda m: m.priority)
    timer = duration(silent_at(replace(instance, config=config), master) - master.last_heard)
    if config.preempt and config.priority > master.priority:
        return (
            f"preempt is on, and {config.priority} is above {master.priority}: keepalived takes "
            f"the role once its timer of {timer} and its preempt_delay have run out."
        )
    return (
        f"It becomes MASTER {duration(config.skew_time)} after {master.address} resigns, or after "
        f"{timer} of its silence, unless another BACKUP is quicker: one with a higher priority is."
    )


def _in_use(router: Router, instance: Instance) -> InstanceConfig:
    """The instance's configuration with the priority that its timers run by."""
    return replace(instance.config, priority=effective_priority(router, instance))


def _priority(router: Router, instance: Instance) -> str:
    base, effective = instance.config.priority, effective_priority(router, instance)
    election = router.election
    if router.lever is None:
        return f"Its priority is {base}, as configured: nothing can lower it."
    if election.written is None:
        return f"Its base priority is {base}; what the track file makes of it is not known yet."
    if election.written <= RESIGNING:
        return f"Its base priority is {base}; its track file holds {election.written}: FAULT."
    if effective == base:
        return f"Its priority is {base}, as configured: nothing lowers it."
    ours = election.written == election.standing and not router.settings.observe_only
    kind = "drained" if election.draining else "tried" if election.tried else "untried"
    by = f"as {kind}" if ours else f"by the {election.written} in its track file"
    change = "lowered" if effective < base else "raised"
    return f"Its priority is {effective}: base {base}, {change} by {abs(base - effective)} {by}."


def _as_fault(router: Router, instance: Instance) -> Iterator[str]:
    own = instance.config.interface
    used = (own, *(v.interface for v in instance.config.virtual_addresses))
    down = [name for name in dict.fromkeys(used) if not router.links.get(name, False)]
    held_down = router.lever is not None and router.election.written == RESIGNING
    if held_down:
        yield f"Its lever holds it down: the track file {router.lever} holds {RESIGNING}."
    if own in down:
        yield f"Down or gone: {listing(down)}. It comes back when the link is up."
    elif down:
        yield f"Down or gone: {listing(down)}, where it has virtual addresses. Mend that first."
    elif not held_down:
        said = "keepalived says FAULT" if instance.word is Word.FAULT else "It is in FAULT"
        yield f"{said}; neither its links nor its lever explain it: see keepalived's log."


def _as_stopped(router: Router, instance: Instance) -> Iterator[str]:
    if router.pid is not None:
        yield f"keepalived (process {router.pid}) runs, and ended this instance."
    elif router.listed and instance.config.virtual_addresses and not instance.present:
        yield "It left no virtual address behind."


def _as_init(router: Router) -> Iterator[str]:
    if not router.listed:
        yield "The kernel's addresses and links are not listed yet: who holds the role is open."


def _ago(moment: float, now: float) -> str:
    return f"{duration(now - moment)} ago"
