"""Priorities and standings: the numbers by which VRRP, and nothing else, arbitrates.

    node is                    effective priority                     standing
    untried                    b - rank mod spread, spread = (b-2)//3 0 to -(spread - 1)
    untried again              b - k (16 - place), k = spread//10     -12 k to 0
    tried                      place, in 4 to 16                      -(b - 4) to -(b - 16)
    drained                    1: the last resort, not a hole         -(b - 1)
    resigning                  FAULT                                  -254

An untried node is far ahead of a tried one, whatever the base priorities of the others. The rank
spreads the routers of a dead node over the survivors, where equal priorities send them all to the
highest address. Once a node had a turn in an outage, its place goes by the turns of others that it
has `waited` for since, in this round and in the next: the one that waited longest comes first, so
the order of all rounds is that of the first, and nobody is twice in line before another's turn.
Two nodes near to each other make two masters for a moment: a point is 3.9 ms of Skew_Time, less
than a network's delay or a busy machine's lateness. So places are the farther apart the fewer
nodes there are, and a rank keeps away from the numbers of the masters that this node heard.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterable
from functools import lru_cache

from havrrpd.core.model import Instance, Router

RESIGNING = -254  # with weight 1 keepalived goes to FAULT (keepalived.conf(5), track_file)
TRIED = range(2, 17)  # the effective priorities of nodes that had their turn
SMALLEST_BASE = 34  # below this the untried and the tried would overlap
PLACES = (4, 9, 12, 14, 15, 16)  # by the turns waited; a drained node has 1
NEAREST = 2  # points at which an untried node moves on
DISTANCE = 4  # points between two untried nodes, where there is room: 16 ms
MOST_MOVES = 16  # numbers to choose from


def base_priority(router: Router) -> int:
    """The smallest configured priority of the router's instances: they share one lever."""
    return min((i.config.priority for i in router.instances), default=100)


def has_room(router: Router) -> bool:
    """Whether there is room below the base priority; if not, the router is only resigned.

    There is none either where the bases of the instances differ: they share one standing.
    """
    bases = {i.config.priority for i in router.instances}
    return len(bases) == 1 and bases.pop() >= SMALLEST_BASE


def rank(router: Router, moved_on: int = 0) -> int:
    """A number of (router, node), the same on every run; 0 where preemption sets the order."""
    return 0 if preempts(router) else _number(router.id, router.settings.node, moved_on)


@lru_cache(maxsize=10_000)  # each step asks for it
def _number(router_id: str, node: str, moved_on: int) -> int:
    name = f"{router_id}\0{node}\0{moved_on}"
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
    place = PLACES[min(election.waited, len(PLACES) - 1)]
    if tried:
        return place - base
    if election.turns and not preempts(router):
        return (place - PLACES[-1]) * max(1, _spread(base) // 10)
    return -(rank(router, election.moved_on) % _spread(base))


def tried_by(router: Router, found: int) -> int | None:
    """How long a node that left this standing had waited; None if it was not tried."""
    left = base_priority(router) + found
    if not has_room(router) or left not in TRIED:
        return None
    return max(0, bisect_right(PLACES, left) - 1)


def away_from(router: Router, taken: Iterable[int]) -> int:
    """The `Election.moved_on` that keeps the rank away from the priorities taken, if it can.

    A node moves only if it is very near: the fewer move, the fewer meet.
    """
    before, numbers = router.election.moved_on, tuple(taken)
    if preempts(router) or not has_room(router):
        return before
    base = base_priority(router)
    spread = _spread(base)
    enough = min(DISTANCE, spread // (len(numbers) + 1))

    def distance(moved_on: int) -> int:
        own = base - rank(router, moved_on) % spread
        return min(enough, *(abs(own - number) for number in numbers))

    if distance(before) >= min(NEAREST, enough):
        return before
    return max(range(before, before + MOST_MOVES), key=distance)  # the first of the best


def effective_priority(router: Router, instance: Instance) -> int:
    """The priority that keepalived uses now, as far as the lever tells: clamped as it does."""
    lowered = router.election.written if router.lever else None
    if lowered is None or lowered <= RESIGNING:
        return instance.config.priority
    return max(1, min(254, instance.config.priority + lowered))


def _spread(base: int) -> int:
    """How many priorities the untried share."""
    return (base - TRIED.start) // 3
