"""What a process takes, also while it can't be read."""

from __future__ import annotations

import os
import resource

from havrrpd.usage import UsageMeter


def test_what_was_seen_last_stays_while_there_is_no_descriptor_to_look_with() -> None:
    meter = UsageMeter()
    before = meter.last
    assert before.cpu_seconds > 0
    assert before.resident_bytes > 1e6
    assert before.open_descriptors >= 3
    assert before.most_descriptors == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        meter._look()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert meter.last.started_at == before.started_at
    assert meter.last.resident_bytes == before.resident_bytes
