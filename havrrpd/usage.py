"""What this process takes: CPU, memory, descriptors, as prometheus_client reads them in /proc."""

from __future__ import annotations

import asyncio

from prometheus_client import ProcessCollector

from havrrpd.core.node import Usage

PERIOD = 10.0  # seconds between two looks: 1 us for each of up to ten descriptors of a router

_COLLECTOR = ProcessCollector(registry=None)


class UsageMeter:
    """`last` is what was seen last. Without a free descriptor /proc can't be read: it stays."""

    def __init__(self) -> None:
        self.last = Usage()
        self._seen: dict[str, float] = {}
        self._look()

    async def run(self) -> None:
        while True:
            await asyncio.sleep(PERIOD)
            self._look()

    def _look(self) -> None:
        self._seen |= {s.name: s.value for family in _COLLECTOR.collect() for s in family.samples}
        self.last = Usage(
            cpu_seconds=self._seen.get("process_cpu_seconds_total", 0.0),
            resident_bytes=self._seen.get("process_resident_memory_bytes", 0.0),
            open_descriptors=self._seen.get("process_open_fds", 0.0),
            most_descriptors=self._seen.get("process_max_fds", 0.0),
            started_at=self._seen.get("process_start_time_seconds", 0.0),
        )
