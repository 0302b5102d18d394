"""The sockets with which one router's gateways are probed, opened inside its namespace."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import TypeVar

from msgspec import Struct

from havrrpd.core.model import IPAddress
from havrrpd.netns import open_inside
from havrrpd.sources.gateway import arp, bpf, icmp, ndp
from havrrpd.sources.gateway.icmp import EchoReply
from havrrpd.sources.gateway.kernel import Kernel
from havrrpd.sources.gateway.ndp import NeighbourReply

T = TypeVar("T")
Reply = EchoReply | NeighbourReply
Ancillary = list[tuple[int, int, bytes]]

ETH_P_ARP = 0x0806
_IP_PKTINFO = 8
_SOL_RAW, _ICMP_FILTER = 255, 1
_SOL_ICMPV6, _ICMP6_FILTER = 58, 1
_SO_TIMESTAMPNS = 35  # also the type of its ancillary message
_RECEIVE_BUFFER = 65536
_OLDEST_STAMP = 10.0  # seconds; beyond that the wall clock was set, not the loop late
_TIMESPEC = struct.Struct("@qq")


class Received(Struct, frozen=True):
    """What recvmsg() gave. `stamp` is the kernel's, wall clock seconds; None: it gave none."""

    data: bytes
    address: tuple[str | int | bytes, ...]
    destination: IPv6Address | None
    hop_limit: int | None
    stamp: float | None


@dataclass(frozen=True, slots=True)
class Ear:
    """A socket that hears one kind of reply. `decode` gives None for everything else."""

    socket: socket.socket
    decode: Callable[[Received], Reply | None]

    def receive(self) -> Received | None:
        """The next packet, None when there is none. Raises OSError when the socket is broken."""
        try:
            data, ancillary, _, address = self.socket.recvmsg(2048, 256)
        except BlockingIOError:
            return None
        return _received(data, ancillary, address)


def open_in(netns: Path, factory: Callable[[], T]) -> T:
    """Call `factory` inside the namespace that `netns` names."""
    descriptor = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return open_inside(descriptor, factory)
    finally:
        os.close(descriptor)


def open_kernel(netns: Path) -> Kernel:
    return open_in(netns, Kernel.open)


def open_echo(netns: Path, version: int, identifier: int) -> Ear:
    """Hears echo replies with `identifier`, and sends the requests."""
    if version == 4:
        return Ear(open_in(netns, lambda: _echo_ipv4(identifier)), _decode_echo_ipv4)
    return Ear(open_in(netns, lambda: _echo_ipv6(identifier)), _decode_echo_ipv6)


def open_arp(netns: Path, interface: str, gateway: IPv4Address) -> Ear:
    """Hears ARP replies of `gateway` on `interface`, and sends the requests."""
    return Ear(
        open_in(netns, lambda: _arp(interface, gateway)),
        lambda received: arp.decode_reply(received.data),
    )


def open_ndp(netns: Path, interface: str, gateway: IPv6Address) -> Ear:
    """Hears neighbour advertisements for `gateway` on `interface`, and sends solicitations."""
    return Ear(open_in(netns, lambda: _ndp(interface, gateway)), _decode_advertisement)


@dataclass(frozen=True, slots=True)
class Way:
    """By IP from one address to another: what sendmsg() needs, made once for all packets."""

    ancillary: tuple[int, int, bytes]
    destination: tuple[str, int] | tuple[str, int, int, int]

    @classmethod
    def of(cls, to: IPAddress, source: IPAddress, index: int) -> Way:
        """From `source` out of interface `index` (0: as routed).

        For IPv4 the kernel itself refuses an address that is not there: EINVAL, in the same call.
        """
        if to.version == 4:
            info = struct.pack("=i", index) + source.packed + bytes(4)
            return cls((socket.IPPROTO_IP, _IP_PKTINFO, info), (str(to), 0))
        info = source.packed + struct.pack("=i", index)
        scope = index if to.is_link_local or to.is_multicast else 0
        return cls((socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, info), (str(to), 0, 0, scope))

    def send(self, sock: socket.socket, data: bytes) -> None:
        sock.sendmsg([data], [self.ancillary], 0, self.destination)


def arrival(received: Received, now: float, wall_now: float) -> float:
    """When a packet arrived, monotonic: by the kernel's stamp, so that a late loop adds nothing."""
    age = wall_now - received.stamp if received.stamp is not None else 0.0
    return now - age if 0 <= age <= _OLDEST_STAMP else now


def _echo_ipv4(identifier: int) -> socket.socket:
    sock = _prepared(socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP))
    blocked = ~(1 << icmp.ICMP_ECHO_REPLY) & 0xFFFFFFFF
    sock.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("=I", blocked))
    bpf.attach(sock, icmp.filter_ipv4(identifier))
    return sock


def _echo_ipv6(identifier: int) -> socket.socket:
    sock = _icmpv6_socket(icmp.ICMPV6_ECHO_REPLY)
    bpf.attach(sock, icmp.filter_ipv6(identifier))
    return sock


def _ndp(interface: str, gateway: IPv6Address) -> socket.socket:
    sock = _icmpv6_socket(ndp.ADVERTISEMENT)
    bpf.attach(sock, ndp.advertisement_filter(gateway))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, ndp.HOP_LIMIT)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
    return sock


def _arp(interface: str, gateway: IPv4Address) -> socket.socket:
    # Protocol 0 hears nothing: first the filter, then the ear.
    sock = _prepared(socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0))
    bpf.attach(sock, arp.reply_filter(gateway))
    sock.bind((interface, ETH_P_ARP))
    return sock


def _icmpv6_socket(kind: int) -> socket.socket:
    sock = _prepared(socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6))
    blocked = [0xFFFFFFFF] * 8
    blocked[kind >> 5] &= ~(1 << (kind & 31))
    sock.setsockopt(_SOL_ICMPV6, _ICMP6_FILTER, struct.pack("=8I", *blocked))
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
    return sock


def _prepared(sock: socket.socket) -> socket.socket:
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
    return sock


def _received(
    data: bytes, ancillary: Ancillary, address: tuple[str | int | bytes, ...]
) -> Received:
    destination, hop_limit, stamp = None, None, None
    for level, kind, value in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS) and len(value) == _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack(value)
            stamp = seconds + nanoseconds * 1e-9
        elif (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO) and len(value) == 20:
            destination = IPv6Address(value[:16])
        elif (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT) and len(value) == 4:
            hop_limit = int(struct.unpack("=i", value)[0])
    return Received(data, address, destination, hop_limit, stamp)


def _decode_echo_ipv4(received: Received) -> EchoReply | None:
    return icmp.decode_ipv4(received.data)


def _decode_echo_ipv6(received: Received) -> EchoReply | None:
    if received.destination is None:
        return None
    host, _, _, scope = received.address
    source = IPv6Address(socket.inet_pton(socket.AF_INET6, str(host).partition("%")[0]))
    return icmp.decode_ipv6(received.data, source, received.destination, int(scope))


def _decode_advertisement(received: Received) -> NeighbourReply | None:
    if received.destination is None or received.hop_limit is None:
        return None
    return ndp.decode_advertisement(received.data, received.destination, received.hop_limit)
