"""One key at a time, not shown and without Enter; the terminal is as before afterwards."""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Pressed = Callable[[float], str]
END = "\x04"  # Ctrl-D, and what a terminal that went away says


@contextmanager
def keyboard() -> Iterator[Pressed]:
    """A function that waits for a key, for so many seconds at most; without one it returns "".

    Where stdin is no terminal it only waits.
    """
    if not sys.stdin.isatty():
        yield _wait
        return
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield _read
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _wait(seconds: float) -> str:
    select.select([], [], [], seconds)
    return ""


def _read(seconds: float) -> str:
    """Not by Python's buffered stdin: select knows nothing of what that holds."""
    readable, _, _ = select.select([sys.stdin], [], [], seconds)
    if not readable:
        return ""
    return os.read(sys.stdin.fileno(), 1).decode(errors="replace") or END
