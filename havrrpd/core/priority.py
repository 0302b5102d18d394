"""Priorities and standings: the numbers by which VRRP, and nothing else, arbitrates.

    node is      effective priority                        standing
    untried      b - rank mod spread, spread = (b-2)//3    0 to -(spread - 1)
    tried        2 + rank mod 15: always in 2..16          -(b - 2 - rank mod 15)
    drained      1: the last resort, not a hole            -(b - 1)
    resigning    FAULT                                     -254

An untried node is far ahead of a tried one, whatever the base priorities of the others. The rank
avoids ties, which make two masters for a moment, and spreads the routers of a dead node over the
survivors, where equal priorities send them all to the highest address.
"""

from __future__ import annotations

import hashlib

from havrrpd.core.model import Instance, Router

RESIGNING = -254  # with weight 1 keepalived goes to FAULT (keepalived.conf(5), track_file)
TRIED = range(2, 17)  # the effective priorities of nodes that had their turn
SMALLEST_BASE = 34  # below this the untried and the tried would overlap


def base_priority(router: Router) -> int:
    """The smallest configured priority of the router's instances: they share one lever."""
    return min((i.config.priority for i in router.instances), default=100)


def has_room(router: Router) -> bool:
    """Whether there is room below the base priority; if not, the router is only resigned.

    There is none either where the bases of the instances differ: they share one standing.
    """
    bases = {i.config.priority for i in router.instances}
    return len(bases) == 1 and base_priority(router) >= SMALLEST_BASE


def rank(router: Router) -> int:
    """A number of (router, node), the same on every run; 0 where preemption sets the order."""
    if any(i.config.preempt for i in router.instances):
        return 0
    digest = hashlib.blake2b(f"{router.id}\0{router.settings.node}".encode(), digest_size=8)
    return int.from_bytes(digest.digest())


def standing(router: Router, *, tried: bool, draining: bool) -> int:
    """The standing of a node that is not resigning."""
    base = base_priority(router)
    if not has_room(router):
        return 0
    if draining:
        return -(base - 1)
    if tried:
        return -(base - 2 - rank(router) % 15)
    return -(rank(router) % ((base - 2) // 3))


def effective_priority(router: Router, instance: Instance) -> int:
    """The priority that keepalived uses now, as far as the lever tells: clamped as it does."""
    lowered = router.election.written if router.lever else None
    if lowered is None or lowered <= RESIGNING:
        return instance.config.priority
    return max(1, min(254, instance.config.priority + lowered))
