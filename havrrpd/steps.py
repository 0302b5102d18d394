"""Every router's state, and the one place where it changes: an event in, a step, its actions out.

Events queue up in the order in which they came; deadlines that steps named wait. Events come
first: a deadline concludes from silence, and what was heard meanwhile is in the queue. So a node
that is too slow asks its gateways less often, instead of twice for each answer that waits.
The addresses of a MASTER come and go together: those next to each other in the queue are one step.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence

from havrrpd.core.messages import Action, AddressEvent, DeadlinePassed, Event, RouterGone
from havrrpd.core.model import Router
from havrrpd.core.step import next_deadline, step
from havrrpd.deadlines import Deadlines

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
        self._deadlines = Deadlines()
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
        overdue = self._deadlines.take(time.monotonic())
        for count, router_id in enumerate(overdue, start=1):
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
        return self._deadlines.first < time.monotonic() - LATE

    def _work_off(self) -> None:
        ahead: list[AddressEvent] = []
        for left in reversed(range(min(BATCH, len(self._queue)))):
            router_id, event = self._queue.popleft()
            self._arrived(router_id, event)
            if isinstance(event, RouterGone):
                self.routers.pop(router_id, None)
                self._deadlines.set(router_id, None)
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

    def _step(self, router_id: str, event: Event, ahead: Sequence[AddressEvent] = ()) -> None:
        router = self.routers.get(router_id)
        if router is None:
            return  # it went while this event was on its way
        router, actions = step(router, event, time.monotonic(), ahead)
        self.routers[router_id] = router
        self._deadlines.set(router_id, next_deadline(router))
        self._changed(router_id)
        for action in actions:
            self._perform(router, action)

    def _idle_seconds(self) -> float:
        return max(SHORTEST_PAUSE, min(1.0, self._deadlines.first - time.monotonic()))
