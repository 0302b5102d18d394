"""Virtual time: what happens next, in order."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

Call = Callable[..., None]


class Frozen:
    """Something that can stall: what is due meanwhile happens when it goes on, in its order."""

    def __init__(self) -> None:
        self.stalled_until = 0.0


class Agenda:
    """Calls at times, seconds from the start. Those of one time happen in the order they came."""

    def __init__(self) -> None:
        self.now = 0.0
        self._entries: list[tuple[float, int, Frozen | None, Call, tuple[Any, ...]]] = []
        self._count = 0

    def after(self, seconds: float, call: Call, *arguments: Any, of: Frozen | None = None) -> None:
        self._count += 1
        entry = (self.now + seconds, self._count, of, call, arguments)
        heapq.heappush(self._entries, entry)

    def run(self, until: float, after_each: Callable[[], None]) -> None:
        """Up to a moment, `after_each` after every call."""
        while self._entries and self._entries[0][0] <= until:
            at, order, of, call, arguments = heapq.heappop(self._entries)
            if of is not None and of.stalled_until > at:
                heapq.heappush(self._entries, (of.stalled_until, order, of, call, arguments))
                continue
            self.now = at
            call(*arguments)
            after_each()
        self.now = until
