"""The truth about who is MASTER: the adverts on a lab's HA network, with the kernel's time stamps.

Captured where each node's cable enters the switch, so a stamp is of the sending, whatever the
network's delay is, and the sender is the cable and not what the advert says.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self

from havrrpd.lab.lab import Lab
from havrrpd.lab.network import Network, port
from havrrpd.netns import open_inside
from havrrpd.sources.adverts.decode import Advert, decode

_ETH_P_ALL = 3  # a bridge takes a frame away before a narrower socket sees it
_SOL_PACKET, _PACKET_IGNORE_OUTGOING = 263, 23
_SO_TIMESTAMPNS = 35
_LARGEST_ADVERT = 4096


@dataclass(frozen=True, slots=True)
class Sent:
    """An advert that a node sent, `at` by the wall clock; with priority 0 it resigned."""

    at: float
    node: str
    vrid: int
    priority: int


class Wire:
    """A context manager: from entry to exit the adverts of all routers are collected."""

    def __init__(self, lab: Lab) -> None:
        self._vrids = {router.vrid for router in lab.routers}
        self._adverts: list[Sent] = []
        descriptor = os.open(f"/proc/{lab.switch.pid}/ns/net", os.O_RDONLY)
        try:
            taps = [open_inside(descriptor, partial(_open, name)) for name in lab.names]
        finally:
            os.close(descriptor)
        self._taps = dict(zip(taps, lab.names, strict=True))
        self._stop, self._stopped = os.pipe()
        self._thread = threading.Thread(target=self._collect, name="wire", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._stopped)
        self._thread.join()
        os.close(self._stop)
        for tap in self._taps:
            tap.close()

    def adverts(self, since: float = 0.0) -> list[Sent]:
        """All adverts from a time on, in the order in which they were sent."""
        found = (sent for sent in list(self._adverts) if sent.at >= since)
        return sorted(found, key=lambda sent: sent.at)

    def _collect(self) -> None:
        watched: list[int | socket.socket] = [self._stop, *self._taps]
        while True:
            ready, _, _ = select.select(watched, (), ())
            if self._stop in ready:
                return
            for tap in self._taps:
                self._adverts.extend(self._received(tap))

    def _received(self, tap: socket.socket) -> Iterator[Sent]:
        while True:
            try:
                packet, ancillary, _, _ = tap.recvmsg(_LARGEST_ADVERT, 128)
            except OSError:  # nothing more, or the cable was pulled: it goes on when plugged in
                return
            advert = decode(packet, self._vrids)
            if isinstance(advert, Advert):
                yield Sent(_stamp(ancillary), self._taps[tap], advert.vrid, advert.priority)


def _open(node: str) -> socket.socket:
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, 0)
    tap.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    tap.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    tap.bind((port(Network.HA, node), _ETH_P_ALL))
    return tap


def _stamp(ancillary: list[tuple[int, int, bytes]]) -> float:
    """From a struct timespec."""
    (data,) = (data for level, kind, data in ancillary if kind == _SO_TIMESTAMPNS)
    seconds, nanoseconds = struct.unpack("qq", data)
    return float(seconds + nanoseconds / 1e9)
