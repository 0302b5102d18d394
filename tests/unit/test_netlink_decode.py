"""rtnetlink's bytes, what they say, and the events that a namespace's table makes of them."""

from __future__ import annotations

import struct
from contextlib import suppress
from ipaddress import IPv4Interface, IPv6Interface, ip_address
from socket import AF_BRIDGE, AF_INET, AF_INET6, AF_UNSPEC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from havrrpd.core.messages import (
    AddressAdded,
    AddressRemoved,
    KernelListed,
    LinkChanged,
    LinkRemoved,
)
from havrrpd.core.model import IPInterface
from havrrpd.sources.netlink.decode import (
    IFA_ADDRESS,
    IFA_F_DADFAILED,
    IFA_FLAGS,
    IFA_LOCAL,
    IFF_RUNNING,
    IFF_UP,
    RTM_DELADDR,
    RTM_DELLINK,
    RTM_DELNSID,
    RTM_NEWADDR,
    RTM_NEWLINK,
    AddressLost,
    AddressSeen,
    LinkLost,
    LinkSeen,
    MalformedError,
    Message,
    NamespaceLost,
    Packet,
    decode,
    error_of,
    nsid_of,
    split,
)
from havrrpd.sources.netlink.table import Table

IFLA_IFNAME = 3
IFF_LOWER_UP = 0x10000
IFA_F_TENTATIVE = 0x40
VIP = IPv4Interface("10.0.0.1/24")
VIP6 = IPv6Interface("fd00::1/64")

# RTM_NEWADDR of `ip addr add 10.0.0.1/24 dev v0`, recorded on Linux 6.18.
RECORDED_ADDRESS = bytes.fromhex(
    "4c000000140000008824046b20750000"
    "0218800003000000"
    "080001000a000001"
    "080002000a000001"
    "0700030076300000"
    "0800080080000000"
    "14000600ffffffffffffffff9d8509009d850900"
)


def attribute(kind: int, value: bytes) -> bytes:
    header = struct.pack("=HH", 4 + len(value), kind)
    return header + value + bytes(-len(value) % 4)


def packed(kind: int, body: bytes, sequence: int = 0) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 0, sequence, 0) + body


def link_message(
    index: int, name: str, flags: int, *, kind: int = RTM_NEWLINK, family: int = AF_UNSPEC
) -> bytes:
    header = struct.pack("=BxHiII", family, 1, index, flags, 0)
    return packed(kind, header + attribute(IFLA_IFNAME, name.encode() + b"\0"))


def address_message(
    address: IPInterface,
    *,
    kind: int = RTM_NEWADDR,
    index: int = 3,
    flags: int = 0,
    attributes: bytes | None = None,
) -> bytes:
    family = AF_INET if address.version == 4 else AF_INET6
    header = struct.pack("=BBBBI", family, address.network.prefixlen, flags & 0xFF, 0, index)
    if attributes is None:
        attributes = attribute(IFA_ADDRESS, address.ip.packed)
    return packed(kind, header + attributes)


def decoded(data: bytes) -> list[Message | None]:
    return [decode(packet) for packet in split(data)]


def test_an_address_recorded_from_the_kernel_is_read() -> None:
    assert decoded(RECORDED_ADDRESS) == [AddressSeen(3, VIP)]


def test_several_messages_in_one_datagram_are_all_read() -> None:
    data = address_message(VIP) + address_message(VIP6, kind=RTM_DELADDR)
    assert decoded(data) == [AddressSeen(3, VIP), AddressLost(3, VIP6)]


def test_with_a_peer_the_local_address_is_ours() -> None:
    attributes = attribute(IFA_ADDRESS, ip_address("10.0.0.9").packed)
    attributes += attribute(IFA_LOCAL, VIP.ip.packed)
    assert decoded(address_message(VIP, attributes=attributes)) == [AddressSeen(3, VIP)]


def test_an_ipv6_address_that_failed_duplicate_detection_is_not_there() -> None:
    attributes = attribute(IFA_ADDRESS, VIP6.ip.packed)
    attributes += attribute(IFA_FLAGS, struct.pack("=I", IFA_F_DADFAILED | IFA_F_TENTATIVE))
    assert decoded(address_message(VIP6, attributes=attributes)) == [AddressLost(3, VIP6)]


def test_duplicate_detection_that_failed_is_read_from_the_header_too() -> None:
    assert decoded(address_message(VIP6, flags=IFA_F_DADFAILED)) == [AddressLost(3, VIP6)]


def test_a_tentative_address_is_there() -> None:
    assert decoded(address_message(VIP6, flags=IFA_F_TENTATIVE)) == [AddressSeen(3, VIP6)]


@pytest.mark.parametrize(
    ("flags", "up"),
    [
        (IFF_UP | IFF_RUNNING | IFF_LOWER_UP, True),
        (IFF_UP, False),  # no carrier
        (IFF_RUNNING | IFF_LOWER_UP, False),  # set down
        (0, False),
    ],
)
def test_a_link_is_up_when_it_is_set_up_and_has_carrier(flags: int, up: bool) -> None:
    assert decoded(link_message(3, "ha-0", flags)) == [LinkSeen(3, "ha-0", up)]


def test_a_deleted_link_is_lost() -> None:
    assert decoded(link_message(3, "ha-0", 0, kind=RTM_DELLINK)) == [LinkLost(3)]


@pytest.mark.parametrize("kind", [RTM_NEWLINK, RTM_DELLINK])
def test_a_bridge_port_that_joins_or_leaves_says_nothing_of_the_link(kind: int) -> None:
    assert decoded(link_message(3, "p0", 0, kind=kind, family=AF_BRIDGE)) == [None]


def test_a_namespace_that_ended_gives_its_number_up() -> None:
    body = bytes(4) + attribute(1, struct.pack("=i", 7))
    assert decoded(packed(RTM_DELNSID, body)) == [NamespaceLost(7)]


def test_a_namespace_without_a_number_says_minus_one() -> None:
    body = bytes(4) + attribute(1, struct.pack("=i", -1))
    assert nsid_of(Packet(88, 0, 0, packed(88, body))) is None


def test_an_error_is_its_errno() -> None:
    assert error_of(Packet(2, 0, 0, packed(2, struct.pack("=i", -22)))) == 22


def test_messages_of_other_kinds_and_families_are_nothing_to_us() -> None:
    ipx = packed(RTM_NEWADDR, struct.pack("=BBBBI", 4, 0, 0, 0, 1))
    assert decoded(packed(24, bytes(12)) + ipx) == [None, None]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\x01\x02\x03", "3 bytes are too few for a header"),
        (struct.pack("=IHHII", 99, 20, 0, 0, 0), "a message of 99 bytes where 16 are left"),
        (struct.pack("=IHHII", 4, 20, 0, 0, 0), "a message of 4 bytes where 16 are left"),
        (packed(RTM_NEWADDR, b"\2"), "an address message shorter than its header"),
        (packed(RTM_NEWLINK, b"\0"), "a link message shorter than its header"),
        (address_message(VIP, attributes=b""), "an address of 0 bytes"),
        (
            address_message(VIP, attributes=struct.pack("=HH", 40, 1)),
            "an attribute of 40 bytes where 4 are left",
        ),
        (
            packed(RTM_NEWADDR, struct.pack("=BBBBI", AF_INET, 77, 0, 0, 1) + b"\x08\0\1\0abcd"),
            "77 is not a valid netmask",
        ),
        (
            packed(RTM_NEWLINK, struct.pack("=BxHiII", 0, 1, 3, 0, 0)),
            "a link message without a name",
        ),
        (packed(RTM_DELNSID, bytes(4)), "a namespace message without its number"),
    ],
)
def test_a_message_that_does_not_hold_together_says_what_is_wrong(data: bytes, text: str) -> None:
    with pytest.raises(MalformedError) as caught:
        decoded(data)
    assert str(caught.value) == text


@given(st.binary(max_size=200))
def test_garbage_is_malformed_and_nothing_worse(data: bytes) -> None:
    with suppress(MalformedError):
        decoded(data)


@given(
    st.sampled_from([RTM_NEWLINK, RTM_DELLINK, RTM_NEWADDR, RTM_DELADDR, RTM_DELNSID]),
    st.binary(max_size=120),
)
def test_garbage_behind_a_good_header_is_malformed_and_nothing_worse(
    kind: int, body: bytes
) -> None:
    with suppress(MalformedError):
        decoded(packed(kind, body))


# --- the table ---

HA = LinkSeen(3, "ha-0", True)


def test_a_listing_names_the_interfaces_of_the_addresses() -> None:
    table = Table([HA, LinkSeen(4, "qr-0", False), AddressSeen(3, VIP), AddressSeen(4, VIP6)])
    assert table.listed() == KernelListed(
        {"ha-0": True, "qr-0": False}, frozenset({("ha-0", VIP), ("qr-0", VIP6)})
    )


def test_an_address_is_added_once_and_removed_once() -> None:
    table = Table([HA])
    assert table.apply(AddressSeen(3, VIP)) == [AddressAdded("ha-0", VIP)]
    assert table.apply(AddressSeen(3, VIP)) == []
    assert table.apply(AddressLost(3, VIP)) == [AddressRemoved("ha-0", VIP)]
    assert table.apply(AddressLost(3, VIP)) == []


def test_a_link_message_without_a_change_is_silent() -> None:
    table = Table([HA])
    assert table.apply(HA) == []
    assert table.apply(LinkSeen(3, "ha-0", False)) == [LinkChanged("ha-0", False)]


def test_a_lost_link_takes_its_addresses_with_it() -> None:
    table = Table([HA, AddressSeen(3, VIP)])
    assert table.apply(LinkLost(3)) == [AddressRemoved("ha-0", VIP), LinkRemoved("ha-0")]
    assert table.apply(LinkLost(3)) == []
    assert table.listed() == KernelListed({}, frozenset())


def test_a_renamed_link_is_listed_with_its_addresses_under_the_new_name() -> None:
    table = Table([HA, AddressSeen(3, VIP)])
    assert table.apply(LinkSeen(3, "ha-9", True)) == [
        KernelListed({"ha-9": True}, frozenset({("ha-9", VIP)}))
    ]
    assert table.apply(AddressLost(3, VIP)) == [AddressRemoved("ha-9", VIP)]


def test_an_address_listed_before_its_link_was_heard_of_appears_with_the_link() -> None:
    table = Table([AddressSeen(3, VIP)])
    assert table.listed() == KernelListed({}, frozenset())
    assert table.apply(HA) == [LinkChanged("ha-0", True), AddressAdded("ha-0", VIP)]


@given(
    st.lists(
        st.sampled_from(
            [
                HA,
                LinkSeen(3, "ha-1", False),
                LinkLost(3),
                AddressSeen(3, VIP),
                AddressLost(3, VIP),
                AddressSeen(3, VIP6),
                AddressLost(3, VIP6),
            ]
        )
    ),
    st.data(),
)
def test_messages_older_than_a_listing_and_replayed_after_it_end_at_the_truth(
    history: list[Message], data: st.DataObject
) -> None:
    truth = Table(history)
    replayed_from = data.draw(st.integers(0, len(history)))
    table = Table(history)  # as listed at the end of it
    for message in history[replayed_from:]:
        table.apply(message)
    assert table.listed() == truth.listed()
