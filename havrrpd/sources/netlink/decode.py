"""rtnetlink's bytes -> what they say about links, addresses and namespaces. No I/O.

They come by the thousand and are read by struct: an address in 5 us (pyroute2 takes 22), a link,
with some sixty nested attributes of which one is of interest, in 3 us (pyroute2 takes 250).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from functools import lru_cache
from ipaddress import IPv4Interface, IPv6Interface
from socket import AF_BRIDGE, AF_INET, AF_INET6

from msgspec import Struct

from havrrpd.core.model import IPInterface

# linux/netlink.h, linux/rtnetlink.h, linux/if_link.h, linux/if_addr.h, linux/net_namespace.h
NLMSG_ERROR = 2
NLMSG_DONE = 3
RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWNSID, RTM_DELNSID, RTM_GETNSID = 88, 89, 90
NETNSA_NSID, NETNSA_FD = 1, 3
IFLA_IFNAME = 3
IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS = 1, 2, 8
IFA_F_DADFAILED = 0x08
IFF_UP, IFF_RUNNING = 0x1, 0x40

_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_LINK = struct.Struct("=BxHiII")  # ifinfomsg: family, type, index, flags, change
_ADDRESS = struct.Struct("=BBBBI")  # ifaddrmsg: family, prefix length, flags, scope, index
_NAMESPACE_SIZE = 4  # rtgenmsg, padded
_ATTRIBUTE = struct.Struct("=HH")  # rtattr: length, type
_ATTRIBUTE_TYPE_MASK = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER


class MalformedError(ValueError):
    """Bytes that are not what rtnetlink sends."""


class Packet(Struct, frozen=True):
    """One netlink message; `data` includes its header."""

    kind: int
    flags: int
    sequence: int
    data: bytes


class LinkSeen(Struct, frozen=True):
    index: int
    interface: str
    up: bool


class LinkLost(Struct, frozen=True):
    index: int


class AddressSeen(Struct, frozen=True):
    index: int
    address: IPInterface


class AddressLost(Struct, frozen=True):
    index: int
    address: IPInterface


class NamespaceLost(Struct, frozen=True):
    """The namespace of this nsid is gone; the number may be given to another one."""

    nsid: int


Message = LinkSeen | LinkLost | AddressSeen | AddressLost | NamespaceLost


def split(data: bytes) -> Iterator[Packet]:
    """The messages of one datagram. Raises MalformedError at the first that doesn't fit in it."""
    offset = 0
    while offset < len(data):
        if offset + _HEADER.size > len(data):
            raise MalformedError(f"{len(data) - offset} bytes are too few for a header")
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        if not _HEADER.size <= length <= len(data) - offset:
            raise MalformedError(f"a message of {length} bytes where {len(data) - offset} are left")
        yield Packet(kind, flags, sequence, data[offset : offset + length])
        offset += _aligned(length)


def decode(packet: Packet) -> Message | None:
    """What a message says; None for one that is not about us. Raises MalformedError."""
    if packet.kind in (RTM_NEWADDR, RTM_DELADDR):
        return _decode_address(packet)
    if packet.kind in (RTM_NEWLINK, RTM_DELLINK):
        return _decode_link(packet)
    if packet.kind == RTM_DELNSID and (nsid := nsid_of(packet)) is not None:
        return NamespaceLost(nsid)
    return None


def nsid_of(packet: Packet) -> int | None:
    """The number in an RTM_*NSID message; None where the namespace has none."""
    value = _attributes(packet.data, _HEADER.size + _NAMESPACE_SIZE).get(NETNSA_NSID, b"")
    if len(value) != 4:
        raise MalformedError("a namespace message without its number")
    (nsid,) = struct.unpack("=i", value)
    return int(nsid) if nsid >= 0 else None


def error_of(packet: Packet) -> int:
    """The errno in an NLMSG_ERROR or NLMSG_DONE message; 0: it went well."""
    if len(packet.data) < _HEADER.size + 4:
        return 0
    (code,) = struct.unpack_from("=i", packet.data, _HEADER.size)
    return -int(code)


def _decode_link(packet: Packet) -> LinkSeen | LinkLost | None:
    if len(packet.data) < _HEADER.size + _LINK.size:
        raise MalformedError("a link message shorter than its header")
    family, _, index, flags, _ = _LINK.unpack_from(packet.data, _HEADER.size)
    if family == AF_BRIDGE:  # a port joins or leaves its bridge; the link itself stays
        return None
    if packet.kind == RTM_DELLINK:
        return LinkLost(index)
    up = IFF_UP | IFF_RUNNING  # what keepalived asks for; RUNNING is lost with the carrier
    return LinkSeen(index, _interface_name(packet.data), flags & up == up)


def _interface_name(data: bytes) -> str:
    attributes = _each_attribute(data, _HEADER.size + _LINK.size)
    value = next((value for kind, value in attributes if kind == IFLA_IFNAME), b"")
    name = value.partition(b"\0")[0]
    if not name:
        raise MalformedError("a link message without a name")
    return os.fsdecode(name)


def _decode_address(packet: Packet) -> AddressSeen | AddressLost | None:
    if len(packet.data) < _HEADER.size + _ADDRESS.size:
        raise MalformedError("an address message shorter than its header")
    family, prefix_length, flags, _, index = _ADDRESS.unpack_from(packet.data, _HEADER.size)
    if family not in (AF_INET, AF_INET6):
        return None
    attributes = _attributes(packet.data, _HEADER.size + _ADDRESS.size)
    # IFA_ADDRESS is the peer's on a point-to-point link, and IFA_LOCAL is then ours.
    packed = attributes.get(IFA_LOCAL) or attributes.get(IFA_ADDRESS, b"")
    address = _interface_address(family, packed, prefix_length)
    if IFA_FLAGS in attributes and len(attributes[IFA_FLAGS]) == 4:
        (flags,) = struct.unpack("=I", attributes[IFA_FLAGS])
    # An address that failed duplicate detection is on the interface and is not used.
    if packet.kind == RTM_DELADDR or flags & IFA_F_DADFAILED:
        return AddressLost(index, address)
    return AddressSeen(index, address)


@lru_cache(maxsize=32_768)  # to make one takes 6 us, and the same ones come again and again
def _interface_address(family: int, packed: bytes, prefix_length: int) -> IPInterface:
    if len(packed) != (4 if family == AF_INET else 16):
        raise MalformedError(f"an address of {len(packed)} bytes")
    try:
        if family == AF_INET:
            return IPv4Interface((packed, prefix_length))
        return IPv6Interface((packed, prefix_length))
    except ValueError as error:
        raise MalformedError(str(error)) from error


def _attributes(data: bytes, offset: int) -> dict[int, bytes]:
    return dict(_each_attribute(data, offset))


def _each_attribute(data: bytes, offset: int) -> Iterator[tuple[int, bytes]]:
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if not _ATTRIBUTE.size <= length <= len(data) - offset:
            raise MalformedError(
                f"an attribute of {length} bytes where {len(data) - offset} are left"
            )
        yield kind & _ATTRIBUTE_TYPE_MASK, data[offset + _ATTRIBUTE.size : offset + length]
        offset += _aligned(length)


def _aligned(length: int) -> int:
    return (length + 3) & ~3
