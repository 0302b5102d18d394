"""What havrrpd logged so far: to read it costs havrrpd nothing, unlike a question."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

from havrrpd.lab.waiting import wait_until


class Changes:
    """The changes of state in a log, also while it grows."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._read = 0  # bytes
        self._times: list[float] = []

    def times(self) -> list[float]:
        """The wall clock of each, in their order."""
        with self._log.open("rb") as file:
            file.seek(self._read)
            text, newline, _unfinished = file.read().rpartition(b"\n")
        self._read += len(text) + len(newline)
        for line in text.splitlines():
            if b"instance.state_changed" in line:
                stamp = json.loads(line)["timestamp"]
                self._times.append(datetime.fromisoformat(stamp).timestamp())
        return self._times

    def wait(self, count: int, limit: float) -> None:
        """Until there are so many in all."""

        def logged() -> bool:
            return len(self.times()) >= count

        wait_until(logged, limit, f"{count} changes of state", every=0.02)

    def last(self) -> float:
        return self.times()[-1]
