"""Pure: one captured IP packet to the advert that it carries, or to the reason why it is none.

A packet starts at its IP header. Layouts: RFC 3768 section 5.1 (version 2), RFC 9568 section 5.1
(version 3), RFC 4302 section 2 (AH, which keepalived offers for version 2).
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address

from msgspec import Struct

from havrrpd.core.model import InstanceConfig, IPAddress

VRRP = 112  # IP protocol numbers
AH = 51

_HOP_LIMIT = 255
_ADVERTISEMENT = 1
_HEADER_SIZE = 8
_V2_AUTH_SIZE = 8


class Reason(StrEnum):
    """Why a packet is not an advert of ours."""

    PROTOCOL = "protocol"
    SHORT = "short"
    VERSION = "version"
    TYPE = "type"
    FOREIGN_VRID = "foreign_vrid"
    HOP_LIMIT = "hop_limit"
    ADVERT_INT = "advert_int"
    CHECKSUM = "checksum"


@dataclass(frozen=True, slots=True)
class Advert:
    """A valid advert. `advert_int` in seconds, `message` is the whole of VRRP's part."""

    version: int
    vrid: int
    source: IPAddress
    destination: IPAddress
    priority: int
    advert_int: float
    message: bytes = field(default=b"", compare=False, repr=False)  # can hold a password


class Rejected(Struct, frozen=True):
    """`source` is None where there was no IP header to read it from."""

    reason: Reason
    source: IPAddress | None = None


class _Datagram(Struct, frozen=True):
    """An IP packet without its header and without the padding of its frame."""

    source: IPAddress
    destination: IPAddress
    hop_limit: int
    protocol: int
    payload: bytes
    addresses: bytes  # source and destination, as the pseudo-header has them


def decode(packet: bytes, vrids: Container[int]) -> Advert | Rejected:
    """The advert in `packet`, if it is a valid one and its VRID is one of `vrids`.

    Cheap checks come first: what floods is rarely worth a checksum.
    """
    datagram = _decode_ip(packet)
    if isinstance(datagram, Rejected):
        return datagram
    message = _vrrp_message(datagram)
    if isinstance(message, Rejected):
        return message
    return _decode_vrrp(message, datagram, vrids)


def essence(packet: bytes) -> bytes:
    """What decides on the outcome of `decode`: packets that have it in common carry the same.

    Each packet of IPv4 has another number (RFC 791: identification), and so another header
    checksum. Of the two only their sum counts.
    """
    if len(packet) < 20 or packet[0] >> 4 != 4:
        return packet
    number, checksum = packet[4:6], packet[10:12]
    summed = (int.from_bytes(number, "big") + int.from_bytes(checksum, "big")) % 0xFFFF
    return b"".join((packet[:4], packet[6:10], packet[12:], summed.to_bytes(2, "big")))


def objection(advert: Advert, instances: Iterable[InstanceConfig]) -> Reason | None:
    """Why none of the instances of its VRID has to do with an advert of another node, if so.

    Not because of its source: keepalived obeys also unicast peers that it does not list, unless
    check_unicast_src is set (keepalived.conf(5)).
    """
    return None if any(i.version == advert.version for i in instances) else Reason.VERSION


def _decode_ip(packet: bytes) -> _Datagram | Rejected:
    version = packet[0] >> 4 if packet else 0
    if version == 4:
        return _decode_ipv4(packet)
    if version == 6:
        return _decode_ipv6(packet)
    return Rejected(Reason.PROTOCOL if packet else Reason.SHORT)


def _decode_ipv4(packet: bytes) -> _Datagram | Rejected:
    header_size = (packet[0] & 0x0F) * 4
    if header_size < 20 or len(packet) < header_size:
        return Rejected(Reason.SHORT)
    total = int.from_bytes(packet[2:4], "big")
    if not header_size <= total <= len(packet):
        return Rejected(Reason.SHORT)
    # A tap is before the kernel's own check of this sum: keepalived would never get the packet.
    if not _sums_up(packet[:header_size]):
        return Rejected(Reason.CHECKSUM)
    return _Datagram(
        source=IPv4Address(packet[12:16]),
        destination=IPv4Address(packet[16:20]),
        hop_limit=packet[8],
        protocol=packet[9],
        payload=packet[header_size:total],
        addresses=packet[12:20],
    )


def _decode_ipv6(packet: bytes) -> _Datagram | Rejected:
    if len(packet) < 40:
        return Rejected(Reason.SHORT)
    total = 40 + int.from_bytes(packet[4:6], "big")
    if total > len(packet):
        return Rejected(Reason.SHORT)
    return _Datagram(
        source=IPv6Address(packet[8:24]),
        destination=IPv6Address(packet[24:40]),
        hop_limit=packet[7],
        protocol=packet[6],
        payload=packet[40:total],
        addresses=packet[8:40],
    )


def _vrrp_message(datagram: _Datagram) -> bytes | Rejected:
    """The VRRP message, out of its authentication header if it has one."""
    payload = datagram.payload
    if datagram.protocol == VRRP:
        return payload
    if datagram.protocol != AH:
        return Rejected(Reason.PROTOCOL, datagram.source)
    if len(payload) < 2:
        return Rejected(Reason.SHORT, datagram.source)
    if payload[0] != VRRP:
        return Rejected(Reason.PROTOCOL, datagram.source)
    return payload[(payload[1] + 2) * 4 :]


def _decode_vrrp(message: bytes, datagram: _Datagram, vrids: Container[int]) -> Advert | Rejected:
    if len(message) < _HEADER_SIZE:
        return Rejected(Reason.SHORT, datagram.source)
    version, kind = message[0] >> 4, message[0] & 0x0F
    vrid, priority, count = message[1], message[2], message[3]
    if version not in (2, 3):
        return Rejected(Reason.VERSION, datagram.source)
    if kind != _ADVERTISEMENT:
        return Rejected(Reason.TYPE, datagram.source)
    if vrid not in vrids:
        return Rejected(Reason.FOREIGN_VRID, datagram.source)
    # Unicast adverts may be routed on the way: keepalived does not insist on 255 there either.
    if datagram.hop_limit != _HOP_LIMIT and datagram.destination.is_multicast:
        return Rejected(Reason.HOP_LIMIT, datagram.source)
    if len(message) < _size(version, count, datagram):
        return Rejected(Reason.SHORT, datagram.source)
    advert_int = _advert_int(version, message)
    if advert_int == 0:
        return Rejected(Reason.ADVERT_INT, datagram.source)
    if not _checksum_holds(version, message, datagram):
        return Rejected(Reason.CHECKSUM, datagram.source)
    source, destination = datagram.source, datagram.destination
    return Advert(version, vrid, source, destination, priority, advert_int, message)


def _size(version: int, count: int, datagram: _Datagram) -> int:
    """The bytes that a message with `count` addresses needs."""
    addresses = count * (len(datagram.addresses) // 2)
    return _HEADER_SIZE + addresses + (_V2_AUTH_SIZE if version == 2 else 0)


def _advert_int(version: int, message: bytes) -> float:
    """Seconds; on the wire whole ones in version 2, hundredths in 12 bits in version 3."""
    if version == 2:
        return float(message[5])
    return (int.from_bytes(message[4:6], "big") & 0x0FFF) / 100


def _checksum_holds(version: int, message: bytes, datagram: _Datagram) -> bool:
    """Version 3 adds a pseudo-header; keepalived can leave it out (`v3_checksum_as_v2`)."""
    if _sums_up(message):
        return True
    if version == 2 and len(datagram.addresses) == 8:
        return False
    return _sums_up(datagram.addresses + len(message).to_bytes(4, "big") + b"\0\0\0\x70" + message)


def _sums_up(data: bytes) -> bool:
    """Whether the Internet checksum in `data` is right.

    A one's complement sum of 16-bit words is the whole number modulo 0xFFFF.
    """
    if len(data) % 2:
        data += b"\0"
    return int.from_bytes(data, "big") % 0xFFFF == 0
