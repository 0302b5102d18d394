"""What the adverts on the wire say about an instance: who is MASTER elsewhere, and do we send?"""

from __future__ import annotations

from msgspec.structs import replace

from havrrpd.core.messages import AdvertHeard, AdvertSent
from havrrpd.core.model import Instance, MasterHeard, Router, State

MOST_MASTERS = 16  # kept for an instance; more than a few are forged, and the oldest go first
RESIGNED = 0  # the priority in the advert of a MASTER that leaves, RFC 9568 section 5.2.4


def sent(instance: Instance, advert: AdvertSent, now: float) -> Instance:
    """The instance after its own keepalived sent an advert."""
    instance = replace(instance, adverts_sent=instance.adverts_sent + 1, last_sent=now)
    if advert.priority == RESIGNED:
        return replace(instance, evidence=replace(instance.evidence, own_resigned=now))
    return replace(instance, priority_seen=advert.priority)


def heard(instance: Instance, advert: AdvertHeard, own_priority: int, now: float) -> Instance:
    """The instance after another node's advert; the masters heard stay sorted by address."""
    others = tuple(m for m in instance.masters if m.address != advert.source)
    before = next((m for m in instance.masters if m.address == advert.source), None)
    evidence = instance.evidence
    if advert.priority == RESIGNED:
        masters = others
        evidence = replace(
            evidence, peer_resigned=now, heard_from=advert.source, heard_priority=RESIGNED
        )
    else:
        first_heard = before.first_heard if before and not _is_back(instance, before) else now
        master = MasterHeard(advert.source, advert.priority, advert.advert_int, first_heard, now)
        masters = (master,) if not others else _sorted((*_kept(others), master))
        outranked = advert.priority >= own_priority
        evidence = replace(
            evidence,
            master_heard=now,
            master_lower=advert.priority < own_priority,
            peer_outranked=now if outranked else evidence.peer_outranked,
            heard_from=advert.source,
            heard_priority=advert.priority,
        )
    return replace(
        instance, masters=masters, evidence=evidence, adverts_heard=instance.adverts_heard + 1
    )


def told_again(before: Instance, after: Instance) -> bool:
    """Whether adverts only said that the MASTER, here or elsewhere, still lives."""
    if after.adverts_sent > before.adverts_sent:
        return before.state is State.MASTER
    if after.adverts_heard > before.adverts_heard:
        return before.state is State.BACKUP
    return True


def _is_back(instance: Instance, master: MasterHeard) -> bool:
    """Whether it fell silent, as the loser of a tie does, and followed one that resigned since."""
    evidence = instance.evidence
    return master.last_heard < max(evidence.peer_resigned, evidence.own_resigned)


def forget_silent(instance: Instance, now: float) -> Instance:
    """Without the masters that have been silent for longer than an Active_Down_Interval."""
    if all(now < silent_at(instance, master) for master in instance.masters):
        return instance
    kept = tuple(m for m in instance.masters if now < silent_at(instance, m))
    return replace(instance, masters=kept)


def silent_at(instance: Instance, master: MasterHeard) -> float:
    """When this master counts as silent, if nothing more is heard from it."""
    return master.last_heard + 3 * master.advert_int + instance.config.skew_time


def adverts_stopped_at(router: Router, instance: Instance) -> float:
    """When a MASTER that sends nothing more counts as hung: 3 x advert_int after the last advert.

    Time in which we did not listen, or it was not MASTER, does not count.
    """
    last = max(instance.last_sent, instance.since, router.wire_since)
    return last + 3 * instance.config.advert_int


def no_master_at(router: Router, instance: Instance) -> float:
    """When a BACKUP that hears nobody more says so: Active_Down_Interval + 1 s after the last."""
    last = max(instance.evidence.master_heard, instance.since, router.wire_since)
    return last + instance.config.active_down_interval + 1.0


def heard_by_all(router: Router, since: float) -> bool:
    """Whether each instance heard another MASTER after `since`."""
    return all(any(m.last_heard > since for m in i.masters) for i in router.instances)


def _kept(others: tuple[MasterHeard, ...]) -> tuple[MasterHeard, ...]:
    """Room for one more."""
    return tuple(sorted(others, key=lambda m: m.last_heard)[-(MOST_MASTERS - 1) :])


def _sorted(masters: tuple[MasterHeard, ...]) -> tuple[MasterHeard, ...]:
    return tuple(sorted(masters, key=lambda m: (m.address.version, m.address)))
