"""How fast the machine is while it measures: a limit in seconds means little without it."""

from __future__ import annotations

import os
import time

_ROUNDS = 200_000


def pace() -> float:
    """CPU seconds for a fixed piece of work: half of it Python, half of it system calls."""
    began = time.process_time()
    total = 0
    for number in range(10 * _ROUNDS):
        total += number * number % 7
    for _ in range(_ROUNDS):
        os.stat("/")
    return time.process_time() - began
