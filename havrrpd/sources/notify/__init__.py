"""keepalived's notify FIFOs -> events."""

from havrrpd.sources.notify.decode import Line, LineBuffer, decode
from havrrpd.sources.notify.fifo import prepare
from havrrpd.sources.notify.source import Notify

__all__ = ["Line", "LineBuffer", "Notify", "decode", "prepare"]
