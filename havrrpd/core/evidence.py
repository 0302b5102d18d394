"""What each witness said last ahead of a transition, in sentences and in order of time.

Made once a transition, so it only looks at what the records hold already.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from operator import attrgetter

from havrrpd.core.model import (
    GatewayCheck,
    Instance,
    Router,
    Statement,
    Transition,
    Verdict,
    Witness,
)
from havrrpd.core.priority import RESIGNING, effective_priority

_when = attrgetter("at")


def evidence(before: Router, after: Router, instance: Instance) -> tuple[Statement, ...]:
    """Of the instance's last transition, which is that of the step from `before` to `after`.

    A witness that never said anything is left out.
    """
    transition = instance.last_transition
    assert transition is not None
    said = [
        _process(after, instance, transition),
        *_kernel(after, instance),
        *_notification(instance),
        *_wire(instance),
        *(_gateway(check) for check in before.checks if check.verdict is not Verdict.UNCHECKED),
        *_lever(before, after, instance),
    ]
    said.sort(key=_when)
    return tuple(said)


def _process(router: Router, instance: Instance, transition: Transition) -> Statement:
    if router.pid is None:
        return Statement(Witness.PROCESS, "keepalived does not run", transition.at)
    began = instance.evidence.process_started
    return Statement(Witness.PROCESS, f"keepalived runs, pid {router.pid}", began)


def _kernel(router: Router, instance: Instance) -> Iterator[Statement]:
    if instance.kernel_at == -inf:
        return
    config = instance.config
    down = [f"{name} is down" for name in config.interfaces if not router.links.get(name)]
    down += [f"uplink {name} is down" for name in router.uplinks_down]
    down.sort()
    if wanted := len(config.virtual_addresses):
        down.insert(0, f"{len(instance.present)} of {wanted} virtual addresses are there")
    if down:
        yield Statement(Witness.KERNEL, ", ".join(down), instance.kernel_at)


def _notification(instance: Instance) -> Iterator[Statement]:
    if instance.word is not None:
        yield Statement(Witness.NOTIFICATION, f"keepalived said {instance.word}", instance.word_at)


def _wire(instance: Instance) -> Iterator[Statement]:
    said = instance.evidence
    if instance.last_sent > -inf:
        resigned = said.own_resigned == instance.last_sent
        last = _advert(0 if resigned else instance.priority_seen)
        yield Statement(Witness.WIRE, f"this node {last}", instance.last_sent)
    if said.heard_from is not None:
        at = max(said.master_heard, said.peer_resigned)
        yield Statement(Witness.WIRE, f"{said.heard_from} {_advert(said.heard_priority)}", at)


def _advert(priority: int | None) -> str:
    if priority is None:  # it was keepalived's last process that sent it
        return "sent an advert"
    return f"sent priority {priority}" if priority else "resigned: priority 0"


def _gateway(check: GatewayCheck) -> Statement:
    missed = check.failures_in_a_row
    if not missed:
        text = f"answers to {check.method}"
    elif check.verdict is Verdict.LOST:
        text = f"is lost: {missed} probes in a row without an answer"
    else:
        text = f"is not lost yet: {missed} probes in a row without an answer"
    at = -inf if check.checked_at is None else check.checked_at
    return Statement(Witness.GATEWAY, f"{check.gateway.address} {text}", at)


def _lever(before: Router, after: Router, instance: Instance) -> Iterator[Statement]:
    election = after.election
    was = next((i for i in before.instances if i.config.name == instance.config.name), instance)
    if election.resigned_at >= was.since:
        yield Statement(Witness.LEVER, f"this node resigns: {election.cause}", election.resigned_at)
    if after.lever is None or election.written_at == -inf:
        return
    match election.written:
        case None:
            text = "holds no number"
        case value if value == RESIGNING:
            text = f"holds {value}: FAULT"
        case value:
            text = f"holds {value}: priority {effective_priority(after, instance)}"
    yield Statement(Witness.LEVER, f"the track file {text}", election.written_at)
