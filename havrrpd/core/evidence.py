"""What each witness said last ahead of a transition, in sentences and in order of time.

Made once a transition, so it only looks at what the records hold already.
"""

from __future__ import annotations

from math import inf
from operator import attrgetter

from havrrpd.core.model import (
    Evidence,
    GatewayCheck,
    Instance,
    Router,
    Statement,
    Verdict,
    Witness,
)
from havrrpd.core.priority import RESIGNING, effective_priority

_when = attrgetter("at")


def evidence(before: Router, after: Router, instance: Instance) -> tuple[Statement, ...]:
    """Of the instance's last transition, which is that of the step from `before` to `after`.

    A witness that never said anything is left out.
    """
    said = [_process(after, instance)]
    if instance.kernel_at > -inf:
        said.append(_kernel(after, instance))
    if instance.word is not None:
        text = f"keepalived said {instance.word}"
        said.append(Statement(Witness.NOTIFICATION, text, instance.word_at))
    if instance.last_sent > -inf:
        said.append(_sent(instance))
    if instance.evidence.heard_from is not None:
        said.append(_heard(instance.evidence))
    for check in before.checks:
        if check.checked_at is not None:
            said.append(_gateway(check, check.checked_at))
    election = after.election
    was = next((i for i in before.instances if i.config.name == instance.config.name), instance)
    if election.resigned_at >= was.since:
        text = f"this node resigns: {election.cause}"
        said.append(Statement(Witness.LEVER, text, election.resigned_at))
    if after.lever is not None and election.written_at > -inf:
        said.append(_track_file(after, instance))
    said.sort(key=_when)
    return tuple(said)


def _process(router: Router, instance: Instance) -> Statement:
    if router.pid is None:
        return Statement(Witness.PROCESS, "keepalived does not run", instance.since)
    began = instance.evidence.process_started
    return Statement(Witness.PROCESS, f"keepalived runs, pid {router.pid}", began)


def _kernel(router: Router, instance: Instance) -> Statement:
    config, links = instance.config, router.links
    text = f"{len(instance.present)} of {len(config.virtual_addresses)} virtual addresses are there"
    if not links.get(config.interface):
        text += f", {config.interface} is down"
    for virtual in config.virtual_addresses:
        if virtual.interface != config.interface and not links.get(virtual.interface):
            text += f", {virtual.interface} is down"
            break
    if router.uplinks_down:
        text += f", of the node's own links {' and '.join(sorted(router.uplinks_down))} down"
    return Statement(Witness.KERNEL, text, instance.kernel_at)


def _sent(instance: Instance) -> Statement:
    resigned = instance.evidence.own_resigned == instance.last_sent
    text = f"this node {_advert(0 if resigned else instance.priority_seen)}"
    return Statement(Witness.WIRE, text, instance.last_sent)


def _heard(evidence: Evidence) -> Statement:
    text = f"{evidence.heard_from} {_advert(evidence.heard_priority)}"
    return Statement(Witness.WIRE, text, max(evidence.master_heard, evidence.peer_resigned))


def _advert(priority: int | None) -> str:
    if priority is None:  # it was keepalived's last process that sent it
        return "sent an advert"
    return f"sent priority {priority}" if priority else "resigned: priority 0"


def _gateway(check: GatewayCheck, at: float) -> Statement:
    missed = check.failures_in_a_row
    if not missed:
        text = f"answers to {check.method}"
    elif check.verdict is Verdict.LOST:
        text = f"is lost: {missed} probes in a row without an answer"
    else:
        text = f"is not lost yet: {missed} probes in a row without an answer"
    return Statement(Witness.GATEWAY, f"{check.gateway.address} {text}", at)


def _track_file(router: Router, instance: Instance) -> Statement:
    written = router.election.written
    if written is None:
        text = "the track file holds no number"
    elif written == RESIGNING:
        text = f"the track file holds {written}: FAULT"
    else:
        text = f"the track file holds {written}: priority {effective_priority(router, instance)}"
    return Statement(Witness.LEVER, text, router.election.written_at)
