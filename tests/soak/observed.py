"""havrrpd as it is, and a thread beside it that writes down how many tasks its loop has.

`python -m tests.soak.observed run --config FILE`. Nothing outside of a process can count them.
"""

from __future__ import annotations

import asyncio.tasks
import threading
import time
from pathlib import Path

from havrrpd.cli import main

COUNT = Path("/run/havrrpd/tasks")
EVERY = 1.0


def _write() -> None:
    while True:
        living = [task for task in list(asyncio.tasks._all_tasks) if not task.done()]  # type: ignore[attr-defined]
        COUNT.write_text(f"{len(living)}\n")
        time.sleep(EVERY)


if __name__ == "__main__":
    threading.Thread(target=_write, daemon=True).start()
    main()
