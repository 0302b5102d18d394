"""The state of an instance, fused from its witnesses.

The kernel says who holds the addresses, keepalived's notification why, the process whether anybody
is in charge. Witnesses that agree are believed at once. Where they differ, the state that kernel
and process support is taken after `settle`: address events come before the FIFO's line.
A witness that was never heard does not disagree.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from msgspec.structs import replace

from havrrpd.core.causes import cause_of
from havrrpd.core.model import LAST_WORDS, Cause, Instance, Router, State, Transition, Word
from havrrpd.core.priority import RESIGNING


class Presence(StrEnum):
    """How many of an instance's virtual addresses the kernel holds."""

    ALL = "all"
    SOME = "some"
    NONE = "none"


def presence(instance: Instance) -> Presence:
    wanted = len(instance.config.virtual_addresses)
    if instance.present and len(instance.present) == wanted:
        return Presence.ALL
    return Presence.SOME if instance.present else Presence.NONE


def notified_state(instance: Instance) -> State | None:
    """The state that keepalived itself named last; None when it named none yet."""
    match instance.word:
        case None:
            return None
        case Word.MASTER:
            return State.MASTER
        case Word.BACKUP:
            return State.BACKUP
        case Word.FAULT:
            return State.FAULT
        case Word.STOP | Word.DELETED:
            return State.STOPPED


def supported_state(router: Router, instance: Instance, now: float) -> State:
    """The state that the kernel and the process support."""
    if router.pid is None:
        return State.STOPPED
    if not router.listed:
        return State.INIT
    if _holds_the_role(instance, now):
        return State.MASTER
    if instance.word in LAST_WORDS:
        return State.STOPPED
    if instance.word is Word.FAULT or not router.links.get(instance.config.interface, False):
        return State.FAULT
    held_down = router.lever is not None and router.election.written == RESIGNING
    return State.FAULT if held_down else State.BACKUP


def with_state(router: Router, instance: Instance, now: float) -> Instance:
    """The instance in the state its witnesses give it at `now`."""
    state = supported_state(router, instance, now)
    if state is instance.state:
        return _without_disagreement(instance)
    if not _agreed(router, instance, state):
        since = instance.disagreement if instance.disagreement is not None else now
        if now < since + router.settings.settle:
            return replace(instance, disagreement=since)
    return _changed(instance, state, cause_of(router, instance, state, now), now)


def witness_deadlines(router: Router) -> Iterator[float]:
    """When the states would change, if nothing happened until then."""
    for instance in router.instances:
        if instance.disagreement is not None:
            yield instance.disagreement + router.settings.settle
        elif instance.state is State.MASTER and instance.word is None and not instance.present:
            yield _sends_until(instance)


def _agreed(router: Router, instance: Instance, state: State) -> bool:
    if router.pid is None or not router.listed:
        return True
    if instance.state is State.STOPPED and state is State.MASTER:
        return False  # addresses left by a dead keepalived: the new one clears them as it starts
    return notified_state(instance) in (None, state)


def _holds_the_role(instance: Instance, now: float) -> bool:
    """By the addresses that are in the adverts; an instance without any is judged by its words."""
    plain = {a for a in instance.config.virtual_addresses if not a.excluded}
    seen = plain or set(instance.config.virtual_addresses)
    if seen:
        return not seen.isdisjoint(instance.present)
    sending = now < _sends_until(instance)
    return instance.word is Word.MASTER or (instance.word is None and sending)


def _sends_until(instance: Instance) -> float:
    """As far as its last advert tells."""
    return instance.last_sent + 3 * instance.config.advert_int


def _without_disagreement(instance: Instance) -> Instance:
    return instance if instance.disagreement is None else replace(instance, disagreement=None)


def _changed(instance: Instance, new: State, cause: Cause, now: float) -> Instance:
    if new is State.INIT:  # a witness was lost, nothing happened to the router
        return replace(instance, state=new, since=now, disagreement=None)
    counts = {(state, why): n for state, why, n in instance.transitions}
    counts[new, cause] = counts.get((new, cause), 0) + 1
    return replace(
        instance,
        state=new,
        since=now,
        disagreement=None,
        last_transition=Transition(instance.state, new, now, cause),
        transitions=tuple((state, why, n) for (state, why), n in counts.items()),
    )
