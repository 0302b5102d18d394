"""Who holds which address of which router, at every moment, as the kernels of the nodes tell it."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterable, Iterator
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


@dataclass(frozen=True, slots=True)
class Spell:
    """More than one node held an address, from `since` on, for so many seconds."""

    router: str
    address: str
    since: float
    seconds: float
    nodes: tuple[str, ...]


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

    def longest_shared(self) -> tuple[float, str, float]:
        """For how long an address was on more than one node at most, where, and from when on."""
        self._collector.check()
        longest, where, since = 0.0, "never", 0.0
        for spell in shared(list(self._changes), time.monotonic()):
            if spell.seconds > longest:
                longest, since = spell.seconds, spell.since
                where = f"{spell.address} of {spell.router[:8]} on {', '.join(spell.nodes)}"
        return longest, where, since

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


def shared(changes: Iterable[Change], end: float) -> Iterator[Spell]:
    """Every spell in which more than one node held an address, up to `end`."""
    holding: dict[tuple[str, str], set[str]] = {}
    spells: dict[tuple[str, str], tuple[float, set[str]]] = {}
    for change in sorted(changes, key=lambda change: change.at):
        key = change.router, change.address
        nodes = holding.setdefault(key, set())
        (nodes.add if change.present else nodes.discard)(change.node)
        if len(nodes) > 1:
            spells.setdefault(key, (change.at, set()))[1].update(nodes)
        elif key in spells:
            yield _spell(key, change.at, *spells.pop(key))
    for key, spell in spells.items():
        yield _spell(key, end, *spell)


def _spell(key: tuple[str, str], end: float, since: float, nodes: set[str]) -> Spell:
    return Spell(*key, since, end - since, tuple(sorted(nodes)))
