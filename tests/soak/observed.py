"""havrrpd as it is, but for a short history, and a thread beside it that counts what it has.

`python -m tests.soak.observed run --config FILE`. Nothing outside of a process can count its tasks
and its blocks of memory. The history is full after the warm-up: what it may hold is no leak.
"""

from __future__ import annotations

import asyncio.tasks
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import TextIO

from havrrpd import daemon
from havrrpd.cli import main
from havrrpd.core.history import History

COUNT = Path("/run/havrrpd/tasks")
EVERY = 1.0
KEPT = 200  # transitions


def _write(file: TextIO) -> None:
    """Into a file that is open: a fault of the soak leaves no descriptor free.

    Tasks are counted, never held: one that ends while somebody holds it keeps what it had.
    """
    while True:
        living = len(asyncio.tasks._all_tasks)  # type: ignore[attr-defined]
        file.seek(0)
        file.write(f"{living:9} {sys.getallocatedblocks():9} {time.time():.0f}\n")
        file.flush()
        time.sleep(EVERY)


if __name__ == "__main__":
    daemon.History = partial(History, KEPT)  # type: ignore[assignment,attr-defined]
    threading.Thread(target=_write, args=(COUNT.open("w"),), daemon=True).start()
    main()
