"""Who holds which address of which router, at every moment, as the kernels of the nodes tell it."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from pyroute2.netlink.rtnl.marshal import MarshalRtnl

from havrrpd.lab.collector import Collector
from havrrpd.lab.lab import Lab

_GROUPS = 0x10 | 0x100  # RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR, linux/rtnetlink.h
_RTM_GETADDR, _NLM_F_REQUEST_DUMP = 22, 0x301
_BUFFER = 1 << 20


@dataclass(frozen=True, slots=True)
class Change:
    """An address appeared on a node, or went; `at` is monotonic."""

    at: float
    node: str
    router: str
    address: str
    present: bool


class Holders:
    """A context manager: from entry to exit every change is noted, by a thread of its own."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._wanted = {
            router.id: {address.split("/")[0] for address in router.virtual_addresses}
            for router in lab.routers
        }
        self._marshal: Any = MarshalRtnl()
        self._changes: list[Change] = []
        self._collector = Collector[tuple[str, str]]("holders", self._receive)

    def __enter__(self) -> Self:
        for name in self._lab.names:
            self.watch(name)
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
        """Follow a node, also one that came back: what the dead one held is gone with it."""
        self.forget(name)
        for router in self._lab.routers:
            follower = self._lab.node(name).inside(_open, router.namespace)
            self._collector.add(follower, (name, router.id))

    def forget(self, name: str) -> None:
        """A node died: nothing is held there, and nothing is kept there for its sake."""
        self._collector.drop(lambda key: key[0] == name)
        now = time.monotonic()
        for router, address in {(c.router, c.address) for c in self._changes if c.node == name}:
            self._changes.append(Change(now, name, router, address, present=False))

    def changes(self, since: float) -> list[Change]:
        self._collector.check()
        return [change for change in list(self._changes) if change.at > since]

    def longest_shared(self) -> tuple[float, str]:
        """For how long an address was on more than one node at most, in seconds, and where."""
        self._collector.check()
        longest, where = 0.0, "never"
        for (router, address), shared in _shared(list(self._changes), time.monotonic()):
            for seconds, nodes in shared:
                if seconds > longest:
                    longest, where = seconds, f"{address} of {router[:8]} on {', '.join(nodes)}"
        return longest, where

    def _receive(self, follower: socket.socket, key: tuple[str, str]) -> None:
        node, router = key
        while True:
            try:
                data = follower.recv(_BUFFER)
            except BlockingIOError:
                return
            now = time.monotonic()
            for message in self._marshal.parse(data):
                event = message.get("event")
                if event not in ("RTM_NEWADDR", "RTM_DELADDR"):
                    continue
                address = message.get("local") or message.get("address")
                if address in self._wanted[router]:
                    present = event == "RTM_NEWADDR"
                    self._changes.append(Change(now, node, router, address, present))


def _open() -> socket.socket:
    """Subscribed, and asked for what there is: that comes by the same way."""
    follower = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    follower.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
    follower.bind((0, _GROUPS))
    request = struct.pack("=IHHIIBxxxi", 24, _RTM_GETADDR, _NLM_F_REQUEST_DUMP, 1, 0, 0, 0)
    follower.send(request)
    return follower


def _shared(
    changes: list[Change], end: float
) -> Iterator[tuple[tuple[str, str], list[tuple[float, tuple[str, ...]]]]]:
    """For each address the spells in which more than one node held it."""
    for key in sorted({(c.router, c.address) for c in changes}):
        of_it = sorted((c for c in changes if (c.router, c.address) == key), key=lambda c: c.at)
        holding: set[str] = set()
        involved: set[str] = set()
        spells, since = [], 0.0
        for change in of_it:
            before = len(holding)
            holding = holding | {change.node} if change.present else holding - {change.node}
            if before < 2 <= len(holding):
                since, involved = change.at, set()
            involved |= holding
            if len(holding) < 2 <= before:
                spells.append((change.at - since, tuple(sorted(involved))))
        if len(holding) > 1:
            spells.append((end - since, tuple(sorted(involved))))
        yield key, spells
