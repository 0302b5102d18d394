"""Priorities and standings: the numbers by which VRRP, and nothing else, arbitrates.

    node is      effective priority                         standing
    untried      b - rank mod spread, spread = (b-2)//3     0 to -(spread - 1)
    tried        4 + 2 x min(waited, 6): always in 2..16    -(b - 4 - 2 x min(waited, 6))
    drained      1: the last resort, not a hole             -(b - 1)
    resigning    FAULT                                      -254

An untried node is far ahead of a tried one, whatever the base priorities of the others. The rank
spreads the routers of a dead node over the survivors, where equal priorities send them all to the
highest address. `waited` counts the turns of other nodes since the own one: among the tried the
one that waited longest comes first, so that each round has the order of the one before.
No two nodes should have one priority, for a tie makes two masters for a moment. The tried waited
differently; an untried node whose number is taken, by a MASTER that it hears, takes another.
"""

from __future__ import annotations

import hashlib

from havrrpd.core.model import Instance, Router

RESIGNING = -254  # with weight 1 keepalived goes to FAULT (keepalived.conf(5), track_file)
TRIED = range(2, 17)  # the effective priorities of nodes that had their turn
SMALLEST_BASE = 34  # below this the untried and the tried would overlap
LEAST_TRIED = 4  # three points above a drained node
MOST_WAITED = 6  # so that the largest is TRIED's last
MOST_MOVES = 16  # to look for a free priority
DISTANCE = 2  # points between two nodes: 8 ms of Skew_Time, more than a network's delay


def base_priority(router: Router) -> int:
    """The smallest configured priority of the router's instances: they share one lever."""
    return min((i.config.priority for i in router.instances), default=100)


def has_room(router: Router) -> bool:
    """Whether there is room below the base priority; if not, the router is only resigned.

    There is none either where the bases of the instances differ: they share one standing.
    """
    bases = {i.config.priority for i in router.instances}
    return len(bases) == 1 and base_priority(router) >= SMALLEST_BASE


def rank(router: Router, moved_on: int = 0) -> int:
    """A number of (router, node), the same on every run; 0 where preemption sets the order."""
    if preempts(router):
        return 0
    name = f"{router.id}\0{router.settings.node}\0{moved_on}"
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest())


def preempts(router: Router) -> bool:
    return any(i.config.preempt for i in router.instances)


def standing(router: Router, *, tried: bool, draining: bool) -> int:
    """The standing of a node that is not resigning."""
    if not has_room(router):
        return 0
    base, election = base_priority(router), router.election
    if draining:
        return -(base - 1)
    if tried:
        return -(base - LEAST_TRIED - DISTANCE * min(election.waited, MOST_WAITED))
    return -(rank(router, election.moved_on) % _spread(base))


def tried_by(router: Router, found: int) -> int | None:
    """How long a node that left this standing had waited; None if it was not tried."""
    left = base_priority(router) + found
    if not has_room(router) or left not in TRIED:
        return None
    return max(0, left - LEAST_TRIED) // DISTANCE


def moved_on(router: Router, taken: int) -> int:
    """The next `Election.moved_on` that keeps the untried priority away from a taken one."""
    before = router.election.moved_on
    if taken in TRIED or preempts(router) or not has_room(router):
        return before
    base = base_priority(router)
    for candidate in range(before, before + MOST_MOVES):
        own = base - rank(router, candidate) % _spread(base)
        if abs(own - taken) >= DISTANCE:
            return candidate
    return before


def effective_priority(router: Router, instance: Instance) -> int:
    """The priority that keepalived uses now, as far as the lever tells: clamped as it does."""
    lowered = router.election.written if router.lever else None
    if lowered is None or lowered <= RESIGNING:
        return instance.config.priority
    return max(1, min(254, instance.config.priority + lowered))


def _spread(base: int) -> int:
    """How many priorities the untried share."""
    return (base - TRIED.start) // 3
