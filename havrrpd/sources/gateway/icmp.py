"""Pure: ICMP and ICMPv6 echo requests and replies (RFC 792, RFC 4443), and their filters."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

from msgspec import Struct

from havrrpd.core.model import IPAddress
from havrrpd.sources.gateway.bpf import (
    HEADER_LENGTH_TO_X,
    assemble,
    byte_is,
    half_is,
    half_is_behind_x,
)

ICMP_ECHO_REPLY = 0
ICMPV6_ECHO_REPLY = 129
_ICMP_ECHO_REQUEST = 8
_ICMPV6_ECHO_REQUEST = 128
_IPPROTO_ICMP = 1
_SIZE = 8
_PAYLOAD = bytes(16)  # the frame is padded to 60 bytes anyway


class EchoReply(Struct, frozen=True):
    """`scope` is the index of the interface for a link-local source, else 0."""

    source: IPAddress
    destination: IPAddress
    identifier: int
    sequence: int
    scope: int = 0


def encode_request(version: int, identifier: int, sequence: int) -> bytes:
    """An echo request for a raw socket; the kernel adds the checksum for IPv6 only."""
    if version == 6:
        return struct.pack("!BBHHH", _ICMPV6_ECHO_REQUEST, 0, 0, identifier, sequence) + _PAYLOAD
    # The payload is zero: the sum is that of the header.
    total = (_ICMP_ECHO_REQUEST << 8) + identifier + sequence
    checksum = 0xFFFF - ((total & 0xFFFF) + (total >> 16))
    header = struct.pack("!BBHHH", _ICMP_ECHO_REQUEST, 0, checksum, identifier, sequence)
    return header + _PAYLOAD


def decode_ipv4(packet: bytes) -> EchoReply | None:
    """The echo reply in an IPv4 packet, None if it is something else or broken.

    A raw socket gets ICMP before the kernel checks its sum.
    """
    if len(packet) < 20 or packet[0] >> 4 != 4 or packet[9] != _IPPROTO_ICMP:
        return None
    header_size = (packet[0] & 0x0F) * 4
    message = packet[header_size : int.from_bytes(packet[2:4], "big")]
    if header_size < 20 or len(message) < _SIZE or not _sums_up(message):
        return None
    kind, code, _, identifier, sequence = struct.unpack_from("!BBHHH", message)
    if kind != ICMP_ECHO_REPLY or code != 0:
        return None
    return EchoReply(IPv4Address(packet[12:16]), IPv4Address(packet[16:20]), identifier, sequence)


def decode_ipv6(
    message: bytes, source: IPv6Address, destination: IPv6Address, scope: int
) -> EchoReply | None:
    """The echo reply that an ICMPv6 message is; the kernel has checked its sum."""
    if len(message) < _SIZE:
        return None
    kind, code, _, identifier, sequence = struct.unpack_from("!BBHHH", message)
    if kind != ICMPV6_ECHO_REPLY or code != 0:
        return None
    return EchoReply(source, destination, identifier, sequence, scope)


def filter_ipv4(identifier: int) -> bytes:
    """Passes packets with our identifier: ICMP_FILTER has left echo replies only."""
    return assemble([HEADER_LENGTH_TO_X, *half_is_behind_x(4, identifier)])


def filter_ipv6(identifier: int) -> bytes:
    return assemble([*byte_is(0, ICMPV6_ECHO_REPLY), *half_is(4, identifier)])


def _sums_up(message: bytes) -> bool:
    """Whether the Internet checksum in `message` is right.

    A one's complement sum of 16-bit words is the whole number modulo 0xFFFF.
    """
    if len(message) % 2:
        message += b"\0"
    return int.from_bytes(message, "big") % 0xFFFF == 0
