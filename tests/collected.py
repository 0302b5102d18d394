"""What a test made, and only the garbage collector would find."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def nothing_waits_for_the_garbage_collector() -> Iterator[None]:
    """What was made in here and is of no use by its end is gone by itself.

    havrrpd collects rarely (daemon.COLLECT_AFTER): what is caught in a circle stays for long.
    """
    gc.collect()
    gc.disable()
    try:
        yield
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found = [repr(each)[:200] for each in gc.garbage]
        assert not found, found
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
