"""When each router is to be stepped next, if nothing happens before.

Every advert moves a deadline to later. So a router is looked at when its earliest deadline was due,
and only then at the one that it has by now: an advert costs no entry in the heap and no wake-up.
"""

from __future__ import annotations

import heapq
from math import inf


class Deadlines:
    """Moments are of time.monotonic()."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}
        self._look_at: dict[str, float] = {}  # never later than the router is due
        self._looks: list[tuple[float, str]] = []  # a heap; those not in `_look_at` are void

    @property
    def first(self) -> float:
        """When to take again, at the latest: no router is due before. `inf` if none ever is."""
        return self._looks[0][0] if self._looks else inf

    def set(self, router: str, due: float | None) -> None:
        """In place of the one that the router had. None: it has none."""
        if due is None:
            self._due.pop(router, None)
            return
        self._due[router] = due
        if due < self._look_at.get(router, inf):
            self._look(router, due)

    def take(self, now: float) -> list[str]:
        """The routers that are due, the earliest first; they have no deadline any more."""
        taken = []
        while self.first <= now:
            at, router = heapq.heappop(self._looks)
            if self._look_at.get(router) != at:
                continue
            del self._look_at[router]
            due = self._due.get(router)
            if due == at:
                del self._due[router]
                taken.append(router)
            elif due is not None:
                self._look(router, due)
        return taken

    def _look(self, router: str, at: float) -> None:
        self._look_at[router] = at
        heapq.heappush(self._looks, (at, router))
