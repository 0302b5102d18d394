"""What the gateway source reads from packets, from the kernel and from /proc: pure decoding."""

from __future__ import annotations

import errno
import struct
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from havrrpd.core.model import Gateway
from havrrpd.sources.gateway import arp, icmp, kernel, ndp, routes
from havrrpd.sources.gateway.icmp import EchoReply
from havrrpd.sources.gateway.ndp import NeighbourReply
from havrrpd.sources.gateway.sending import is_of_the_network
from havrrpd.sources.gateway.sockets import Received, arrival

GATEWAY4, OWN4 = IPv4Address("203.0.113.1"), IPv4Address("203.0.113.50")
GATEWAY6, OWN6 = IPv6Address("fd00:203:0:113::1"), IPv6Address("fd00:203:0:113::50")
MAC = bytes.fromhex("fa163e000001")
GATEWAY_MAC = bytes.fromhex("fa163eaabbcc")


def checksum(data: bytes) -> int:
    total: int = sum(word for (word,) in struct.iter_unpack("!H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - total


def ipv4_packet(message: bytes, options: bytes = b"", protocol: int = 1) -> bytes:
    size = 20 + len(options)
    head = struct.pack("!BBHHHBBH", 0x40 | size // 4, 0, size + len(message), 0, 0, 64, protocol, 0)
    return head + GATEWAY4.packed + OWN4.packed + options + message


def echo_message(kind: int, code: int = 0, identifier: int = 77, sequence: int = 9) -> bytes:
    body = struct.pack("!BBHHH", kind, code, 0, identifier, sequence) + b"payload!"
    return body[:2] + checksum(body).to_bytes(2, "big") + body[4:]


def arp_packet(operation: int) -> bytes:
    head = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation)
    return head + GATEWAY_MAC + GATEWAY4.packed + MAC + OWN4.packed


def advertisement(flags: int = 0x60, kind: int = 136, code: int = 0) -> bytes:
    option = b"\x02\x01" + GATEWAY_MAC
    return bytes((kind, code, 0, 0, flags, 0, 0, 0)) + GATEWAY6.packed + option


def test_an_echo_reply_is_read_behind_ip_options() -> None:
    expected = EchoReply(GATEWAY4, OWN4, 77, 9)
    assert icmp.decode_ipv4(ipv4_packet(echo_message(0))) == expected
    assert icmp.decode_ipv4(ipv4_packet(echo_message(0), options=b"\1" * 8)) == expected


def test_padding_behind_a_short_packet_is_not_part_of_its_checksum() -> None:
    packet = ipv4_packet(echo_message(0)) + b"padding"
    assert icmp.decode_ipv4(packet) == EchoReply(GATEWAY4, OWN4, 77, 9)


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        ipv4_packet(echo_message(8)),
        ipv4_packet(echo_message(3)),
        ipv4_packet(echo_message(0, code=1)),
        ipv4_packet(echo_message(0)[:7]),
        ipv4_packet(echo_message(0)[:-1] + b"?"),
        ipv4_packet(echo_message(0), protocol=17),
        b"\x42" + ipv4_packet(echo_message(0))[1:],
        b"\x60" + ipv4_packet(echo_message(0))[1:],
    ],
    ids=["empty", "request", "unreachable", "code", "short", "checksum", "udp", "header", "v6"],
)
def test_what_is_no_valid_ipv4_echo_reply_is_nothing(packet: bytes) -> None:
    assert icmp.decode_ipv4(packet) is None


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
def test_the_checksum_of_a_request_is_right(identifier: int, sequence: int) -> None:
    assert checksum(icmp.encode_request(4, identifier, sequence)) == 0


def test_an_icmpv6_echo_reply_is_read_with_its_scope() -> None:
    reply = icmp.decode_ipv6(echo_message(129), GATEWAY6, OWN6, 3)
    assert reply == EchoReply(GATEWAY6, OWN6, 77, 9, scope=3)
    assert icmp.decode_ipv6(echo_message(128), GATEWAY6, OWN6, 3) is None
    assert icmp.decode_ipv6(echo_message(129, code=1), GATEWAY6, OWN6, 3) is None
    assert icmp.decode_ipv6(echo_message(129)[:7], GATEWAY6, OWN6, 3) is None


def test_an_arp_reply_names_the_gateway_and_whom_it_told() -> None:
    expected = NeighbourReply("arp", GATEWAY4, OWN4)
    assert arp.decode_reply(arp_packet(2)) == expected
    assert arp.decode_reply(arp_packet(2) + bytes(18)) == expected  # padded to 60 bytes


def test_arp_requests_and_other_hardware_are_no_replies() -> None:
    assert arp.decode_reply(arp_packet(1)) is None
    assert arp.decode_reply(arp_packet(2)[:27]) is None
    assert arp.decode_reply(b"\0\6" + arp_packet(2)[2:]) is None


def test_an_arp_request_has_the_layout_of_rfc_826() -> None:
    assert arp.encode_request(MAC, OWN4, GATEWAY4) == bytes.fromhex(
        "0001080006040001fa163e000001cb0071320000" + "00000000cb007101"
    )


def test_a_solicitation_goes_to_the_solicited_node_with_the_source_link_layer_address() -> None:
    assert ndp.solicited_node(IPv6Address("fe80::2aa:ff:fe28:9c5a")) == IPv6Address(
        "ff02::1:ff28:9c5a"  # the example of RFC 4291 section 2.7.1
    )
    message = ndp.encode_solicitation(MAC, GATEWAY6)
    assert message == bytes((135, 0, 0, 0, 0, 0, 0, 0)) + GATEWAY6.packed + b"\1\1" + MAC


def test_a_solicited_advertisement_is_an_answer() -> None:
    reply = ndp.decode_advertisement(advertisement(), OWN6, 255)
    assert reply == NeighbourReply("ndp", GATEWAY6, OWN6)


def test_an_advertisement_that_rfc_4861_section_7_1_2_forbids_is_none() -> None:
    assert ndp.decode_advertisement(advertisement(), OWN6, 254) is None
    assert ndp.decode_advertisement(advertisement(code=1), OWN6, 255) is None
    assert ndp.decode_advertisement(advertisement()[:23], OWN6, 255) is None
    assert ndp.decode_advertisement(advertisement(), IPv6Address("ff02::1"), 255) is None


def test_an_advertisement_that_nobody_solicited_is_no_answer() -> None:
    assert ndp.decode_advertisement(advertisement(flags=0xA0), OWN6, 255) is None
    assert ndp.decode_advertisement(advertisement(kind=135), OWN6, 255) is None


@given(st.binary(max_size=80), st.integers(0, 300))
def test_garbage_from_the_wire_never_raises(data: bytes, hop_limit: int) -> None:
    icmp.decode_ipv4(data)
    icmp.decode_ipv4(b"\x45" + data)
    icmp.decode_ipv6(data, GATEWAY6, OWN6, 0)
    arp.decode_reply(data)
    ndp.decode_advertisement(data, OWN6, hop_limit)


@given(st.binary(max_size=200))
def test_garbage_in_a_netlink_message_never_raises(data: bytes) -> None:
    for message in kernel.decode(data):
        message.attributes(12)
    kernel.Message(24, 1, data).attributes(12)


IPV4_ROUTES = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
qg-0\t00000000\t017100CB\t0003\t0\t0\t0\t00000000\t0\t0\t0
qg-1\t00000000\tFE6433C6\t0003\t0\t0\t100\t00000000\t0\t0\t0
qg-0\t007100CB\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
qr-0\t0000000A\t0100000A\t0003\t0\t0\t0\t000000FF\t0\t0\t0
*\t00000000\t00000000\t0201\t0\t0\t500\t00000000\t0\t0\t0
qg-0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0
qg-0\t00000000\t017100CB\t0003\t0\t0\t900\t00000000\t0\t0\t0
"""
ZERO = "0" * 32
VIA_GLOBAL = "fd000203000001130000000000000001"
VIA_LINK_LOCAL = "fe800000000000000000000000000001"
IPV6_ROUTES = f"""\
{ZERO} 00 {ZERO} 00 {VIA_GLOBAL} 00000400 00000001 00000000 00000003     qg-0
{ZERO} 00 {ZERO} 00 {VIA_LINK_LOCAL} 00000400 00000001 00000000 00000003     qg-0
{ZERO} 00 {ZERO} 00 {VIA_LINK_LOCAL} 00000400 00000001 00000000 00450003     qg-1
fe800000000000000000000000000000 40 {ZERO} 00 {ZERO} 00000100 00000001 00000000 00000001     qg-0
{ZERO} 00 {ZERO} 00 {ZERO} ffffffff 00000001 00000000 00200200       lo
{ZERO} 00 {ZERO} 00 {VIA_GLOBAL} 00000400 00000001 00000000 00000203     qg-0
"""


def test_the_ipv4_default_gateways_are_listed_once_each() -> None:
    assert routes.decode_ipv4(IPV4_ROUTES.splitlines()) == (
        Gateway(GATEWAY4, "qg-0"),
        Gateway(IPv4Address("198.51.100.254"), "qg-1"),
    )


def test_the_ipv6_default_gateways_keep_their_interface() -> None:
    link_local = IPv6Address("fe80::1")
    assert routes.decode_ipv6(IPV6_ROUTES.splitlines()) == (
        Gateway(GATEWAY6, "qg-0"),
        Gateway(link_local, "qg-0"),
        Gateway(link_local, "qg-1"),
    )


def test_a_namespace_without_routes_has_no_gateway() -> None:
    assert routes.decode_ipv4(IPV4_ROUTES.splitlines()[:1]) == ()
    assert routes.decode_ipv6([]) == ()


FIELDS = st.sampled_from(["0" * 8, ZERO, "00", "0003", "zz", "-1", "f" * 40, "qg-0"])


@given(st.lists(st.lists(FIELDS | st.text(max_size=9), max_size=12).map(" ".join)))
def test_garbage_in_a_route_file_never_raises(lines: list[str]) -> None:
    routes.decode_ipv4(lines)
    routes.decode_ipv6(lines)


def received(stamp: float | None) -> Received:
    return Received(b"", ("", 0), None, None, stamp)


def test_a_reply_arrived_when_the_kernel_stamped_it() -> None:
    assert arrival(received(999.5), now=50.0, wall_now=1000.0) == 49.5


def test_a_wall_clock_that_was_set_says_nothing_about_an_arrival() -> None:
    assert arrival(received(1000.5), now=50.0, wall_now=1000.0) == 50.0
    assert arrival(received(900.0), now=50.0, wall_now=1000.0) == 50.0
    assert arrival(received(None), now=50.0, wall_now=1000.0) == 50.0


@pytest.mark.parametrize(
    "name", ["ENETUNREACH", "EHOSTUNREACH", "ENETDOWN", "ENODEV", "ENXIO", "EADDRNOTAVAIL"]
)
def test_an_error_of_the_network_is_a_failed_probe(name: str) -> None:
    assert is_of_the_network(OSError(getattr(errno, name), name))


@pytest.mark.parametrize(
    "name",
    ["EMFILE", "ENFILE", "ENOMEM", "ENOBUFS", "EPERM", "EACCES", "EAGAIN", "ENOENT", "EINVAL"],
)
def test_an_error_of_the_observer_says_nothing_of_the_network(name: str) -> None:
    assert not is_of_the_network(OSError(getattr(errno, name), name))
