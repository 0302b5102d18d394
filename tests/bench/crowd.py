"""Moves the routers of a load: real addresses, real adverts, lines in the notify FIFOs.

Run in the load's node, by one thread. The first line on stdin is a list of routers (Member as
JSON), each later one an order, answered by a line with the wall clock at its begin and end:

    {"order": "master" | "backup", "members": [NUMBER, ...], "within": SECONDS}
    {"order": "add" | "remove", "members": [NUMBER], "within": 0}    one address each, the last one

A MASTER has all its addresses and sends an advert each interval; for a BACKUP a peer sends it, from
the other end of its cable.
"""

from __future__ import annotations

import errno
import heapq
import itertools
import json
import os
import select
import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Address, ip_interface
from typing import Any

from havrrpd.netns import open_inside

_RTM_NEWADDR, _RTM_DELADDR = 20, 21
_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_CREATE, _NLM_F_EXCL = 0x1, 0x4, 0x400, 0x200
_IFA_ADDRESS, _IFA_LOCAL, _IFA_F_NODAD = 1, 2, 0x02
_IPV4, _VRRP = 0x0800, 112
_GROUP, _GROUP_MAC = IPv4Address("224.0.0.18"), b"\x01\x00\x5e\x00\x00\x12"
_AT_ONCE = 50  # address messages in one call


@dataclass(frozen=True, slots=True)
class Member:
    """`addresses`: (address, interface). `peer_cable`: the other end of its `ha` interface."""

    netns: str
    instance: str
    vrid: int
    priority: int
    advert_int: int
    ha: str
    ha_address: str
    peer_cable: str
    peer_address: str
    fifo: str
    addresses: Sequence[tuple[str, str]]


@dataclass(slots=True)
class _Mover:
    """One router, with its sockets."""

    member: Member
    wire: socket.socket
    netlink: socket.socket
    adds: list[bytes]
    removes: list[bytes]
    peer: socket.socket
    master: bool = False
    sequence: itertools.count[int] = field(default_factory=itertools.count)

    def promote(self) -> None:
        self.master = True
        self.advertise()
        self.change(self.adds)
        self._notify("MASTER")

    def demote(self) -> None:
        self.master = False
        self.advertise()
        self.change(self.removes)
        self._notify("BACKUP")

    def advertise(self) -> None:
        member = self.member
        if self.master:
            packet = advert(member, member.ha_address)
            self.wire.sendto(packet, (member.ha, _IPV4, 0, 0, _GROUP_MAC))
        else:
            packet = advert(member, member.peer_address)
            self.peer.sendto(packet, (member.peer_cable, _IPV4, 0, 0, _GROUP_MAC))

    def change(self, messages: Sequence[bytes]) -> None:
        """Raises OSError for the first that the kernel refuses."""
        for start in range(0, len(messages), _AT_ONCE):
            batch = messages[start : start + _AT_ONCE]
            self.netlink.send(b"".join(batch))
            answers = 0
            while answers < len(batch):
                data = self.netlink.recv(65536)
                while data:
                    length, _, _, _, _, error = struct.unpack_from("=IHHIIi", data)
                    if error:
                        raise OSError(-error, f"{self.member.netns}: {os.strerror(-error)}")
                    answers, data = answers + 1, data[(length + 3) & ~3 :]

    def _notify(self, word: str) -> None:
        line = f'INSTANCE "{self.member.instance}" {word} {self.member.priority}\n'
        try:
            fifo = os.open(self.member.fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return  # nobody reads: keepalived drops the line, too
        os.write(fifo, line.encode())
        os.close(fifo)


def advert(member: Member, source: str) -> bytes:
    """An IPv4 packet, RFC 3768 section 5.1."""
    message = struct.pack(
        "!BBBBBBH4s8x",
        *(0x21, member.vrid, member.priority, 1, 0, member.advert_int, 0),
        IPv4Address(f"169.254.0.{member.vrid}").packed,
    )
    message = message[:6] + _checksum(message) + message[8:]
    addresses = IPv4Address(source).packed + _GROUP.packed
    header = struct.pack(
        "!BBHHHBBH8s", 0x45, 0xC0, 20 + len(message), 0, 0, 255, _VRRP, 0, addresses
    )
    return header[:10] + _checksum(header) + header[12:] + message


def _checksum(data: bytes) -> bytes:
    return (0xFFFF - int.from_bytes(data, "big") % 0xFFFF).to_bytes(2, "big")


def address_message(kind: int, address: str, index: int) -> bytes:
    """An rtnetlink request that is acknowledged, rtnetlink(7)."""
    interface = ip_interface(address)
    family = socket.AF_INET if interface.version == 4 else socket.AF_INET6
    packed = interface.ip.packed
    attribute = struct.pack("=HH", 4 + len(packed), _IFA_LOCAL) + packed
    attribute += struct.pack("=HH", 4 + len(packed), _IFA_ADDRESS) + packed
    body = struct.pack("=BBBBI", family, interface.network.prefixlen, _IFA_F_NODAD, 0, index)
    flags = _NLM_F_REQUEST | _NLM_F_ACK
    flags |= _NLM_F_CREATE | _NLM_F_EXCL if kind == _RTM_NEWADDR else 0
    return struct.pack("=IHHII", 16 + len(body + attribute), kind, flags, 1, 0) + body + attribute


def _mover(member: Member, peer: socket.socket) -> _Mover:
    def opened() -> tuple[socket.socket, socket.socket, dict[str, int]]:
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        netlink.bind((0, 0))
        interfaces = {interface for _, interface in member.addresses}
        return wire, netlink, {name: socket.if_nametoindex(name) for name in interfaces}

    descriptor = os.open(member.netns, os.O_RDONLY)
    try:
        wire, netlink, indexes = open_inside(descriptor, opened)
    finally:
        os.close(descriptor)
    adds, removes = (
        [address_message(kind, address, indexes[at]) for address, at in member.addresses]
        for kind in (_RTM_NEWADDR, _RTM_DELADDR)
    )
    return _Mover(member, wire, netlink, adds, removes, peer)


class Crowd:
    """What is due, by time: adverts for ever, and what was ordered."""

    def __init__(self, members: Sequence[Member]) -> None:
        peer = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        self._movers = [_mover(member, peer) for member in members]
        self._order = itertools.count()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        now = time.monotonic()
        for number, mover in enumerate(self._movers):
            first = now + number / len(self._movers) * mover.member.advert_int
            self._at(first, self._adverts(mover, first))

    def run(self) -> None:
        """Until stdin ends."""
        while True:
            patience = max(0.0, self._due[0][0] - time.monotonic())
            if select.select([sys.stdin], [], [], patience)[0]:
                line = sys.stdin.readline()
                if not line:
                    return
                self._take(json.loads(line))
            while self._due[0][0] <= time.monotonic():
                heapq.heappop(self._due)[2]()

    def _take(self, order: dict[str, Any]) -> None:
        members, within = order["members"], order["within"]
        began = time.monotonic()
        times: list[float] = []

        def act(number: int) -> None:
            times.append(time.time())
            mover = self._movers[number]
            match order["order"]:
                case "master":
                    mover.promote()
                case "backup":
                    mover.demote()
                case "add":
                    mover.change(mover.adds[-1:])
                case "remove":
                    mover.change(mover.removes[-1:])
            if len(times) == len(members):
                print(json.dumps({"began": times[0], "ended": time.time()}), flush=True)

        for position, number in enumerate(members):
            due = began + within * position / len(members)
            self._at(due, partial(act, number))

    def _adverts(self, mover: _Mover, due: float) -> Callable[[], None]:
        def send() -> None:
            nonlocal due
            mover.advertise()
            due = max(due, time.monotonic() - mover.member.advert_int) + mover.member.advert_int
            self._at(due, send)

        return send

    def _at(self, due: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._due, (due, next(self._order), act))


def main() -> None:
    crowd = Crowd([Member(**each) for each in json.loads(sys.stdin.readline())])
    print("ready", flush=True)
    crowd.run()


if __name__ == "__main__":
    main()
