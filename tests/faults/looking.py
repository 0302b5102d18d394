"""Looking at every node again and again, by a thread for each."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Self


class Looking:
    """A context manager: from entry to exit `look` is called for each node, every so often."""

    def __init__(self, names: Iterable[str], every: float) -> None:
        self._every = every
        self._ended = False
        self._threads = [
            threading.Thread(target=self._look_on, args=(name,), name=f"watch {name}", daemon=True)
            for name in names
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended = True
        for thread in self._threads:
            thread.join()

    def look(self, name: str) -> None:
        """In the thread of that node. What it raises ends the thread."""
        raise NotImplementedError

    def _look_on(self, name: str) -> None:
        while not self._ended:
            began = time.monotonic()
            self.look(name)
            time.sleep(max(0.0, began + self._every - time.monotonic()))
