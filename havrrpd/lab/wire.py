"""The truth about who is MASTER: the adverts of all nodes, with the kernel's time stamps.

Captured where they leave a node for the overlay, so a stamp is of the sending, whatever the
network's delay is, and the sender is the node and not what the advert says.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address
from types import TracebackType
from typing import Self

from havrrpd.lab.collector import Collector
from havrrpd.lab.lab import Lab
from havrrpd.lab.overlay import ha_segment

_ETH_P_ALL = 3  # a bridge takes a frame away before a narrower socket sees it
_PACKET_OUTGOING = 4  # linux/if_packet.h
_SO_TIMESTAMPNS = 35
_VRRP = 112  # the IP protocol
_LARGEST_ADVERT = 4096


@dataclass(frozen=True, slots=True)
class Sent:
    """An advert that a node sent, `at` by the wall clock; with priority 0 it resigned."""

    at: float
    node: str
    vrid: int
    priority: int
    project: int = 1
    source: IPv4Address | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """An advert that arrived at a node on a project's hidden network."""

    node: str
    project: int
    source: IPv4Address


class Wire:
    """A context manager: from entry to exit the adverts of all routers are collected."""

    def __init__(self, lab: Lab) -> None:
        self.heard: set[Heard] = set()
        self._lab = lab
        self._adverts: list[Sent] = []
        self._collector = Collector[tuple[str, int]]("wire", self._receive)
        for name in lab.names:
            self.watch(name)

    def __enter__(self) -> Self:
        self._collector.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._collector.stop()

    def watch(self, name: str) -> None:
        """Capture on a node, also on one that died and came back."""
        self.forget(name)
        for project in range(1, self._lab.plan.projects + 1):
            tap = self._lab.node(name).inside(partial(_open, ha_segment(project).device))
            self._collector.add(tap, (name, project))

    def forget(self, name: str) -> None:
        """A node died: nothing of it is kept alive here."""
        self._collector.drop(lambda key: key[0] == name)

    def adverts(self, since: float = 0.0) -> list[Sent]:
        """All adverts from a time on, in the order in which they were sent."""
        self._collector.check()
        found = (sent for sent in list(self._adverts) if sent.at >= since)
        return sorted(found, key=lambda sent: sent.at)

    def _receive(self, tap: socket.socket, key: tuple[str, int]) -> None:
        node, project = key
        while True:
            try:
                packet, ancillary, _, sender = tap.recvmsg(_LARGEST_ADVERT, 128)
            except OSError:  # nothing more, or the node is gone
                return
            if not (advert := _advert(packet)):
                continue
            source, vrid, priority = advert
            if sender[2] == _PACKET_OUTGOING:
                sent = Sent(_stamp(ancillary), node, vrid, priority, project, source)
                self._adverts.append(sent)
            else:
                self.heard.add(Heard(node, project, source))


def _open(device: str) -> socket.socket:
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, 0)
    tap.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    tap.bind((device, _ETH_P_ALL))
    return tap


def _advert(packet: bytes) -> tuple[IPv4Address, int, int] | None:
    """Source, VRID and priority of an advert over IPv4, RFC 9568 section 5; None: it is none."""
    if len(packet) < 20 or packet[0] >> 4 != 4 or packet[9] != _VRRP:
        return None
    vrrp = packet[(packet[0] & 0x0F) * 4 :]
    return (IPv4Address(packet[12:16]), vrrp[1], vrrp[2]) if len(vrrp) >= 8 else None


def _stamp(ancillary: list[tuple[int, int, bytes]]) -> float:
    """From a struct timespec."""
    (data,) = (data for level, kind, data in ancillary if kind == _SO_TIMESTAMPNS)
    seconds, nanoseconds = struct.unpack("qq", data)
    return float(seconds + nanoseconds / 1e9)
