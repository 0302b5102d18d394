"""The last transitions of a node, bounded: so many of all routers, and so many of each.

What is kept of one is its document, as it is written and answered: nothing is made twice.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator, Reversible
from itertools import islice

from msgspec import Struct

from havrrpd.core.model import State

PER_NODE = 10_000  # about 1 kB each
PER_ROUTER = 200  # so it takes fifty routers that flap to push out what the others did


class Kept(Struct, frozen=True, gc=False):
    """`at`: seconds since the epoch. `document`: JSON in one line, without its end."""

    id: int
    router: str
    vrrp_instance: str
    to: State
    at: float
    document: bytes


class History:
    """Ids grow by one."""

    def __init__(self, per_node: int = PER_NODE, per_router: int = PER_ROUTER) -> None:
        self.last_id = 0
        self._per_node, self._per_router = per_node, per_router
        self._kept: OrderedDict[int, Kept] = OrderedDict()  # the oldest first
        self._of: dict[str, deque[int]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[Kept]:
        """The oldest first."""
        return iter(self._kept.values())

    def __contains__(self, router: object) -> bool:
        """Whether anything is kept of a router."""
        return router in self._of

    def add(self, kept: Kept) -> None:
        """The newest one. Raises ValueError when its id is not higher than those before."""
        if kept.id <= self.last_id:
            raise ValueError(f"id {kept.id} does not follow {self.last_id}")
        self.last_id = kept.id
        self._kept[kept.id] = kept
        ids = self._of.setdefault(kept.router, deque())
        ids.append(kept.id)
        if len(ids) > self._per_router:
            del self._kept[ids.popleft()]
        elif len(self._kept) > self._per_node:
            self._forget_oldest()

    def is_news(self, router: str, vrrp_instance: str, to: State, running_since: float) -> bool:
        """Whether a state that an instance was found in is a transition at all.

        It is none where keepalived has run since before (seconds since the epoch) and the state is
        as it was left: only havrrpd was started again.
        """
        for each in reversed(self._of.get(router, ())):
            kept = self._kept[each]
            if kept.vrrp_instance == vrrp_instance:
                return kept.to != to or running_since > kept.at
        return True

    def newest(self, limit: int, router: str | None = None, since: float = 0.0) -> Iterator[Kept]:
        """The newest first; of one router, and not older than `since`, if asked so."""
        ids: Reversible[int] = self._kept if router is None else self._of.get(router, deque())
        chosen = (self._kept[each] for each in reversed(ids))
        return islice((kept for kept in chosen if kept.at >= since), limit)

    def between(self, after: int, until: int) -> list[Kept]:
        """Those with an id above `after`, up to `until`, the oldest first."""
        found = []
        for each in reversed(self._kept):
            if each <= after:
                break
            if each <= until:
                found.append(self._kept[each])
        return found[::-1]

    def _forget_oldest(self) -> None:
        _, oldest = self._kept.popitem(last=False)
        ids = self._of[oldest.router]
        ids.popleft()
        if not ids:
            del self._of[oldest.router]
