"""Why a transition happened: what preceded it, the nearest explanation first."""

from __future__ import annotations

from havrrpd.core.model import LAST_WORDS, Cause, Instance, Phase, Router, State

# How long a piece of evidence explains what follows. keepalived reacts within milliseconds and
# the witnesses are fused after `settle`; a busy machine gets a second more.
FRESH = 1.0


def cause_of(router: Router, instance: Instance, new: State, now: float) -> Cause:
    """The cause of this instance's transition from its present state to `new`."""
    match new:
        case State.STOPPED:
            return _of_stop(router, instance, now)
        case State.MASTER:
            return _of_promotion(router, instance, now)
        case State.FAULT:
            return _of_fault(router, instance, now)
        case _:
            return _of_demotion(router, instance, now)


def _of_stop(router: Router, instance: Instance, now: float) -> Cause:
    asked = instance.word in LAST_WORDS
    if asked or _fresh(router, instance.evidence.own_resigned, now):
        return Cause.KEEPALIVED_STOPPED
    if instance.state is State.MASTER or router.notify_watched:
        return Cause.KEEPALIVED_DIED
    return Cause.UNKNOWN  # a BACKUP without a FIFO leaves no trace of how it ended


def _of_promotion(router: Router, instance: Instance, now: float) -> Cause:
    evidence, config = instance.evidence, instance.config
    longest_skew = 1.0 if config.version == 2 else config.advert_int
    if _fresh(router, evidence.peer_resigned, now - longest_skew):
        return Cause.PEER_RESIGNED
    if instance.state is State.INIT:
        return Cause.STARTED
    if now - evidence.master_heard < 2 * config.advert_int:
        return Cause.PREEMPTED if evidence.master_lower and config.preempt else Cause.UNKNOWN
    starting = now < evidence.process_started + config.active_down_interval + FRESH
    # One that had not yet fallen silent when this keepalived started was there, and is no more.
    relieves = evidence.master_heard > evidence.process_started - config.active_down_interval
    return Cause.STARTED if starting and not relieves else Cause.PEER_SILENT


def _of_fault(router: Router, instance: Instance, now: float) -> Cause:
    if resigning := _resignation(router, instance, now):
        return resigning
    if _fresh(router, instance.evidence.link_down, now):
        return Cause.LINK_DOWN
    if instance.state is State.INIT:
        return Cause.STARTED
    removed = _fresh(router, instance.evidence.address_removed, now)
    if removed and not _has_own_address(router, instance):
        return Cause.ADDRESS_REMOVED
    return _carried_on(router, instance, now)


def _of_demotion(router: Router, instance: Instance, now: float) -> Cause:
    evidence = instance.evidence
    if instance.state in (State.INIT, State.STOPPED):
        return Cause.STARTED
    if instance.state is State.FAULT:  # the end of a FAULT has the cause of the FAULT
        return instance.last_transition.cause if instance.last_transition else Cause.UNKNOWN
    if resigning := _resignation(router, instance, now):
        return resigning
    if _fresh(router, evidence.peer_outranked, now):
        return Cause.PREEMPTED
    if _fresh(router, evidence.link_down, now):
        return Cause.LINK_DOWN
    if _fresh(router, evidence.address_removed, now):
        return Cause.ADDRESS_REMOVED
    return Cause.UNKNOWN


def _resignation(router: Router, instance: Instance, now: float) -> Cause | None:
    """The cause of our own resignation, if that is what took the role away."""
    election = router.election
    ours = election.phase is Phase.RESIGNING or _fresh(router, election.resigned_at, now)
    return election.cause if ours and instance.state is not State.INIT else None


def _has_own_address(router: Router, instance: Instance) -> bool:
    """Whether its interface has one that is not virtual: else there is none to send from."""
    config = instance.config
    virtual = {(v.interface, v.address) for v in config.virtual_addresses}
    families = {v.address.version for v in config.virtual_addresses if not v.excluded}
    own = (a for interface, a in router.addresses - virtual if interface == config.interface)
    return any(address.version in families for address in own)


def _carried_on(router: Router, instance: Instance, now: float) -> Cause:
    """A FAULT right behind the loss of the role is the rest of the same story."""
    last = instance.last_transition
    if last is None or last.old is not State.MASTER or not _fresh(router, last.at, now):
        return Cause.UNKNOWN
    return last.cause


def _fresh(router: Router, at: float, now: float) -> bool:
    return now - at <= FRESH + router.settings.settle
