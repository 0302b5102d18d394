"""Pure: neighbour solicitations and advertisements (RFC 4861 sections 4.3, 4.4 and 7.1.2)."""

from __future__ import annotations

from ipaddress import IPv6Address

from msgspec import Struct

from havrrpd.core.model import IPAddress
from havrrpd.sources.gateway.bpf import assemble, byte_has, byte_is, words_are

HOP_LIMIT = 255
ADVERTISEMENT = 136
_SOLICITATION = 135
_SOLICITED = 0x40
_SOURCE_LINK_LAYER_ADDRESS = 1
_SIZE = 24


class NeighbourReply(Struct, frozen=True):
    """`gateway` told `destination` its link-layer address, by ARP or NDP."""

    method: str
    gateway: IPAddress
    destination: IPAddress


def solicited_node(target: IPv6Address) -> IPv6Address:
    """The multicast group that `target` listens on, RFC 4291 section 2.7.1."""
    return IPv6Address(b"\xff\x02" + bytes(9) + b"\x01\xff" + target.packed[13:])


def encode_solicitation(mac: bytes, target: IPv6Address) -> bytes:
    """The ICMPv6 message; the kernel adds the checksum."""
    header = bytes((_SOLICITATION, 0, 0, 0)) + bytes(4)
    return header + target.packed + bytes((_SOURCE_LINK_LAYER_ADDRESS, 1)) + mac


def decode_advertisement(
    message: bytes, destination: IPv6Address, hop_limit: int
) -> NeighbourReply | None:
    """The answer to a solicitation that an ICMPv6 message is, None if it is not a valid one."""
    if len(message) < _SIZE or message[0] != ADVERTISEMENT or message[1] != 0:
        return None
    if hop_limit != HOP_LIMIT or not message[4] & _SOLICITED or destination.is_multicast:
        return None
    return NeighbourReply("ndp", IPv6Address(message[8:24]), destination)


def advertisement_filter(gateway: IPv6Address) -> bytes:
    """Passes solicited advertisements for `gateway`."""
    return assemble(
        [*byte_is(0, ADVERTISEMENT), *byte_has(4, _SOLICITED), *words_are(8, gateway.packed)]
    )
