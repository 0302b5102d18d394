"""Waiting for something to become true, with a limit and a reason when it did not."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_INTERVAL = 0.02


class LabError(Exception):
    """Something in the lab could not be done, or did not happen in time."""


def wait_until(
    predicate: Callable[[], T | None], limit: float, what: str, every: float = _INTERVAL
) -> T:
    """Call `predicate` until its value is true; returns that value.

    An OSError or a LabError from it means "not yet". After `limit` seconds raises LabError with
    what was waited for and the last value or error.
    """
    deadline = time.monotonic() + limit
    while True:
        last: object
        try:
            value = predicate()
            if value:
                return value
            last = value
        except (OSError, LabError) as error:
            last = error
        if time.monotonic() >= deadline:
            raise LabError(f"{what}: not within {limit:g} s, last seen: {last!r}")
        time.sleep(every)
