"""Pure: when /proc is scanned. Every `interval`, and some times soon after something happened."""

from __future__ import annotations

_QUICK = (0.05, 0.1, 0.2, 0.4, 0.8)  # seconds between the scans of such a series


class Schedule:
    """`due`: when the next scan is."""

    def __init__(self, interval: float, now: float) -> None:
        self.due = now
        self._interval = interval
        self._quick: list[float] = []

    def scanning(self, now: float) -> None:
        """A scan begins. What it finds can ask for the next one to be sooner."""
        delay = min(self._quick.pop(0), self._interval) if self._quick else self._interval
        self.due = now + delay

    def hurry(self, now: float) -> None:
        """Scan at once, and then some times: of what has ended, a successor comes soon."""
        self.due, self._quick = now, list(_QUICK)

    def soon(self, now: float) -> None:
        """Something is about to be seen: scan soon, unless a series goes on already."""
        if not self._quick:
            self.due, self._quick = now + _QUICK[0], list(_QUICK[1:])
