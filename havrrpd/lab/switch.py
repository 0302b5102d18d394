"""A switch in user space that delivers late: the lab's network delay, with no netem in the kernel.

Run in the switch's namespace, `python -m havrrpd.lab.switch DELAY PORT...`: each frame that enters
by a port leaves DELAY seconds later, in order: by the port behind which its destination was seen,
else by all others.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

READY = "every port is open"

_ETH_P_ALL = 3
_SOL_PACKET, _PACKET_VNET_HDR, _PACKET_IGNORE_OUTGOING = 263, 15, 23  # linux/if_packet.h
_VNET_HDR = 10
_DESTINATION, _SOURCE = slice(_VNET_HDR, _VNET_HDR + 6), slice(_VNET_HDR + 6, _VNET_HDR + 12)
_LARGEST_FRAME = _VNET_HDR + 14 + 65535  # a veth may hand over many segments as one
_BATCH = 64  # frames of a port before the others, and what is due, have their turn


@dataclass(frozen=True, slots=True)
class _Frame:
    due: float
    entered: socket.socket
    data: bytes


def relay(ports: Mapping[socket.socket, str], delay: float) -> None:
    """For ever. What is late, because this process was stalled, leaves at once."""
    waiting: deque[_Frame] = deque()
    behind: dict[bytes, socket.socket] = {}  # the MAC addresses that were seen
    while True:
        patience = max(0.0, waiting[0].due - time.monotonic()) if waiting else None
        readable, _, _ = select.select([*ports], (), (), patience)  # poll would round to 1 ms
        for port in readable:
            for data in _received(port):
                behind[data[_SOURCE]] = port
                waiting.append(_Frame(time.monotonic() + delay, port, data))
        while waiting and waiting[0].due <= time.monotonic():
            frame = waiting.popleft()
            _deliver(frame, ports, behind.get(frame.data[_DESTINATION]))


def open_port(name: str) -> socket.socket:
    """A raw socket on one interface, which goes on when the link was down and is up again.

    Each frame has a virtio_net_hdr before it, in both directions: a checksum that the sender left
    to its card, as veth lets it, stays left to the card of the next port.
    """
    port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    port.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
    port.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)  # what we deliver does not come back
    port.bind((name, _ETH_P_ALL))
    return port


def _received(port: socket.socket) -> Iterator[bytes]:
    """What waits; nothing of a link that has just gone down, whose socket says so once."""
    with contextlib.suppress(OSError):
        for _ in range(_BATCH):
            yield port.recv(_LARGEST_FRAME)


def _deliver(
    frame: _Frame, ports: Mapping[socket.socket, str], known: socket.socket | None
) -> None:
    """A port that is down, gone or full loses the frame, as a cable does.

    One that is gone can be there again, with another cable.
    """
    for port, name in ports.items():
        if port is frame.entered or known not in (port, None):
            continue
        try:
            port.send(frame.data)
        except OSError as error:
            if error.errno in (errno.ENXIO, errno.ENODEV):
                with contextlib.suppress(OSError):
                    port.bind((name, _ETH_P_ALL))


def main(delay: str, *names: str) -> None:
    _go_first()
    ports = {open_port(name): name for name in names}
    print(READY, flush=True)
    relay(ports, float(delay))


def _go_first() -> None:
    """Ahead of every ordinary process, where that is allowed: cables do not wait for a CPU."""
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


if __name__ == "__main__":
    main(*sys.argv[1:])
