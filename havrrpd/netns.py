"""Opening things inside a network namespace, from a thread that exists for nothing else.

setns(2) acts on the calling thread, so it never runs on the loop's. One call takes about 0.1 ms.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="netns")


def open_inside(netns: int, factory: Callable[[], T]) -> T:
    """Call `factory` in the network namespace behind the descriptor `netns`; returns its result.

    The descriptor is of /run/netns/NAME or /proc/PID/ns/net, and it stays open. Raises OSError
    when the namespace can't be entered, and whatever `factory` raises.
    """
    return _thread.submit(_enter_and_call, netns, factory).result()


def _enter_and_call(netns: int, factory: Callable[[], T]) -> T:
    """Enters and comes home again: a thread inside would keep a deleted namespace alive."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _setns(netns)
        try:
            return factory()
        finally:
            _setns(home)
    finally:
        os.close(home)


def _setns(netns: int) -> None:
    if _libc.setns(netns, _CLONE_NEWNET) != 0:
        errno = ctypes.get_errno()
        raise OSError(errno, f"setns: {os.strerror(errno)}")
