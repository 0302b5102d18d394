"""Pure: ARP requests and replies for IPv4 over Ethernet (RFC 826), and their filter."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address

from havrrpd.sources.gateway.bpf import assemble, half_is, words_are
from havrrpd.sources.gateway.ndp import NeighbourReply

BROADCAST = b"\xff" * 6
_FIXED = struct.pack("!HHBB", 1, 0x0800, 6, 4)  # Ethernet, IPv4, and the sizes of both addresses
_REQUEST, _REPLY = 1, 2
_SIZE = 28


def encode_request(mac: bytes, source: IPv4Address, target: IPv4Address) -> bytes:
    return b"".join(
        (_FIXED, _REQUEST.to_bytes(2, "big"), mac, source.packed, bytes(6), target.packed)
    )


def decode_reply(packet: bytes) -> NeighbourReply | None:
    """The reply that `packet` is (from its ARP header on), None if it is something else."""
    if len(packet) < _SIZE or packet[:6] != _FIXED or packet[6:8] != _REPLY.to_bytes(2, "big"):
        return None
    return NeighbourReply("arp", IPv4Address(packet[14:18]), IPv4Address(packet[24:28]))


def reply_filter(gateway: IPv4Address) -> bytes:
    """Passes replies that `gateway` is the sender of."""
    return assemble([*half_is(6, _REPLY), *words_are(14, gateway.packed)])
