"""Every router's state, and the one place where it changes: an event in, a step, its actions out.

Events queue up in the order in which they came; deadlines that steps named wait in a heap. Events
come first: a deadline concludes from silence, and what was heard meanwhile is in the queue. So a
node that is too slow asks its gateways less often, instead of twice for each answer that waits.
The addresses of a MASTER come and go together: those next to each other in the queue are one step.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import deque
from collections.abc import Callable, Sequence

from havrrpd.core.messages import Action, AddressEvent, DeadlinePassed, Event, RouterGone
from havrrpd.core.model import Router
from havrrpd.core.step import next_deadline, step

LATE = 0.5  # seconds by which a deadline was missed: what it concludes from silence is not true
CATCH_UP = 0.05  # seconds in which the sources read what came in meanwhile
SHORTEST_PAUSE = 0.005  # seconds: what is due soon after one another is done together
BATCH = 200  # events after which others on the loop get their turn
SLICE = 50  # deadlines, which send probes, after which what came in meanwhile is heard
EVENTS_FIRST = 1.0  # seconds in which events come ahead of deadlines: a flood must not stop them

Perform = Callable[[Router, Action], None]
Lifecycle = Callable[[str, Event | RouterGone], None]
Changed = Callable[[str], None]


class Steps:
    """Runs the core. `arrived` is told of each event ahead of its step, so that the daemon can
    wire sources for a new router; `perform` carries out one action and must not block; `changed`
    is told of each router that was stepped or went.
    """

    def __init__(self, arrived: Lifecycle, perform: Perform, changed: Changed) -> None:
        self.routers: dict[str, Router] = {}
        self.progressed_at = time.monotonic()
        self._arrived = arrived
        self._perform = perform
        self._changed = changed
        self._queue: deque[tuple[str, Event | RouterGone]] = deque()
        self._heap: list[tuple[float, str]] = []
        self._due: dict[str, float | None] = {}
        self._wake = asyncio.Event()

    def emit(self, router_id: str, event: Event | RouterGone) -> None:
        self._queue.append((router_id, event))
        self._wake.set()

    async def run(self) -> None:
        while True:
            if self._is_late():  # the loop stalled: first hear what the sockets hold meanwhile
                await asyncio.sleep(CATCH_UP)
            until = time.monotonic() + EVENTS_FIRST
            await self._hear(until)
            await self._keep_deadlines(until)
            if not self._queue:
                await self._pause()

    async def _hear(self, until: float) -> None:
        """Step what is queued, and what comes in meanwhile."""
        self.progressed_at = time.monotonic()
        while self._queue and self.progressed_at < until:
            self._work_off()
            await asyncio.sleep(0)
            self.progressed_at = time.monotonic()

    async def _keep_deadlines(self, until: float) -> None:
        for count, router_id in enumerate(self._overdue(), start=1):
            self._step(router_id, DeadlinePassed())
            if count % SLICE == 0:
                await asyncio.sleep(0)
                await self._hear(until)

    async def _pause(self) -> None:
        """Until an event comes, a deadline, or the watchdog's second."""
        self._wake.clear()
        timer = asyncio.get_running_loop().call_later(self._idle_seconds(), self._wake.set)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()

    def settle(self) -> None:
        """Take every queued step now: before the daemon stops."""
        while self._queue:
            self._work_off()

    def _is_late(self) -> bool:
        return bool(self._heap) and self._heap[0][0] < time.monotonic() - LATE

    def _work_off(self) -> None:
        ahead: list[AddressEvent] = []
        for left in reversed(range(min(BATCH, len(self._queue)))):
            router_id, event = self._queue.popleft()
            self._arrived(router_id, event)
            if isinstance(event, RouterGone):
                self.routers.pop(router_id, None)
                self._due.pop(router_id, None)
                self._changed(router_id)
            elif left and isinstance(event, AddressEvent) and self._is_followed(router_id):
                ahead.append(event)
            else:
                self._step(router_id, event, ahead)
                ahead = []

    def _is_followed(self, router_id: str) -> bool:
        """Whether one more address of the same router comes next."""
        if not self._queue:
            return False
        next_router, next_event = self._queue[0]
        return next_router == router_id and isinstance(next_event, AddressEvent)

    def _overdue(self) -> list[str]:
        """The routers whose deadline has come, each once."""
        now = time.monotonic()
        overdue = []
        while self._heap and self._heap[0][0] <= now:
            due, router_id = heapq.heappop(self._heap)
            if self._due.get(router_id) == due:
                self._due[router_id] = None
                overdue.append(router_id)
        return overdue

    def _step(self, router_id: str, event: Event, ahead: Sequence[AddressEvent] = ()) -> None:
        router = self.routers.get(router_id)
        if router is None:
            return  # it went while this event was on its way
        router, actions = step(router, event, time.monotonic(), ahead)
        self.routers[router_id] = router
        self._remember(router)
        self._changed(router_id)
        for action in actions:
            self._perform(router, action)

    def _remember(self, router: Router) -> None:
        due = next_deadline(router)
        if due is not None and due != self._due.get(router.id):
            heapq.heappush(self._heap, (due, router.id))
        self._due[router.id] = due

    def _idle_seconds(self) -> float:
        due = self._heap[0][0] - time.monotonic() if self._heap else 1.0
        return max(SHORTEST_PAUSE, min(1.0, due))
