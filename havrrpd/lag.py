"""How late the loop is: a task that asks to be woken on time and notes by how much it was not."""

from __future__ import annotations

import asyncio
import time

from havrrpd.core.node import LAG_BUCKETS, Histogram

PERIOD = 0.25  # seconds between two looks


class LagMeter:
    """Measures the event loop's lag for as long as it runs."""

    def __init__(self) -> None:
        self.progressed_at = time.monotonic()
        self._counts = [0] * len(LAG_BUCKETS)
        self._count = 0
        self._total = 0.0

    async def run(self) -> None:
        while True:
            due = time.monotonic() + PERIOD
            await asyncio.sleep(PERIOD)
            self.progressed_at = time.monotonic()
            self._note(max(0.0, self.progressed_at - due))

    def histogram(self) -> Histogram:
        return Histogram(tuple(self._counts), self._count, self._total)

    def _note(self, lag: float) -> None:
        self._count += 1
        self._total += lag
        for index, bound in enumerate(LAG_BUCKETS):
            if lag <= bound:
                self._counts[index] += 1
