"""Adverts of keepalived 2.2.7 as they were on the wire, and what is wrong with others.

samples/adverts/KIND.hex: packets from the IP header on, a line each: the first advert of a
MASTER with priority 100 and the last one, when it was stopped.
"""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from havrrpd.core.model import InstanceConfig
from havrrpd.sources.adverts import Advert, Reason, Rejected, decode
from havrrpd.sources.adverts.decode import objection
from havrrpd.sources.adverts.filter import advert_filter

SAMPLES = Path(__file__).parent / "samples" / "adverts"
KINDS = {
    "v2": (2, "192.0.2.1", "224.0.0.18", 1.0),
    "v2_pass": (2, "192.0.2.1", "224.0.0.18", 1.0),
    "v2_ah": (2, "192.0.2.1", "224.0.0.18", 1.0),
    "v3_ipv4": (3, "192.0.2.1", "224.0.0.18", 0.25),
    "v3_ipv6": (3, "fe80::1", "ff02::12", 0.25),
    "unicast": (2, "192.0.2.1", "192.0.2.2", 1.0),
    "v3_unicast_ipv6": (3, "fe80::1", "fe80::2", 1.0),
}
OURS = frozenset({7})


def sample(kind: str, line: int = 0) -> bytes:
    return bytes.fromhex((SAMPLES / f"{kind}.hex").read_text().split()[line])


def changed(packet: bytes, offset: int, value: int) -> bytes:
    return packet[:offset] + bytes([value]) + packet[offset + 1 :]


def reason(packet: bytes) -> Reason | None:
    outcome = decode(packet, OURS)
    return outcome.reason if isinstance(outcome, Rejected) else None


def header_fixed(packet: bytes) -> bytes:
    """The IPv4 packet with a right header checksum."""
    words = int.from_bytes(packet[:10] + bytes(2) + packet[12:20], "big")
    return packet[:10] + (-words % 0xFFFF).to_bytes(2, "big") + packet[12:]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("line", "priority"), [(0, 100), (1, 0)])
def test_real_adverts_of_each_kind_are_decoded(kind: str, line: int, priority: int) -> None:
    version, source, destination, advert_int = KINDS[kind]
    assert decode(sample(kind, line), OURS) == Advert(
        version, 7, ip_address(source), ip_address(destination), priority, advert_int
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_padding_of_a_short_frame_is_not_part_of_the_packet(kind: str) -> None:
    assert decode(sample(kind) + bytes(range(1, 8)), OURS) == decode(sample(kind), OURS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_packet_cut_anywhere_is_short(kind: str) -> None:
    packet = sample(kind)
    assert {reason(packet[:size]) for size in range(len(packet))} == {Reason.SHORT}


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_checksum_is_rejected(kind: str) -> None:
    packet = sample(kind)
    # The last address byte; the eight bytes behind it in version 2 are authentication data.
    offset = len(packet) - (9 if KINDS[kind][0] == 2 else 1)
    assert reason(changed(packet, offset, packet[offset] ^ 1)) is Reason.CHECKSUM


def test_a_wrong_checksum_of_the_ip_header_is_rejected() -> None:
    assert reason(changed(sample("v2"), 10, sample("v2")[10] ^ 1)) is Reason.CHECKSUM


def test_other_versions_are_rejected() -> None:
    assert reason(changed(sample("v2"), 20, 0x11)) is Reason.VERSION
    assert reason(changed(sample("v2"), 20, 0x41)) is Reason.VERSION


def test_other_types_than_advertisement_are_rejected() -> None:
    assert reason(changed(sample("v2"), 20, 0x22)) is Reason.TYPE


def test_a_foreign_vrid_is_told_from_garbage_before_the_checksum_is_looked_at() -> None:
    assert reason(changed(sample("v2"), 21, 8)) is Reason.FOREIGN_VRID


def test_a_rejected_packet_names_its_source() -> None:
    outcome = decode(changed(sample("v2"), 21, 8), OURS)
    assert outcome == Rejected(Reason.FOREIGN_VRID, ip_address("192.0.2.1"))


def test_multicast_needs_a_hop_limit_of_255() -> None:
    """RFC 9568 section 7.1."""
    assert reason(header_fixed(changed(sample("v2"), 8, 254))) is Reason.HOP_LIMIT
    assert reason(changed(sample("v3_ipv6"), 7, 254)) is Reason.HOP_LIMIT


def test_unicast_may_have_been_routed() -> None:
    assert reason(header_fixed(changed(sample("unicast"), 8, 63))) is None
    assert reason(changed(sample("v3_unicast_ipv6"), 7, 63)) is None


def test_an_advert_interval_of_zero_is_rejected() -> None:
    assert reason(changed(sample("v2"), 25, 0)) is Reason.ADVERT_INT
    assert reason(changed(sample("v3_ipv4"), 25, 0)) is Reason.ADVERT_INT


def test_more_addresses_announced_than_sent_is_short() -> None:
    assert reason(changed(sample("v2"), 23, 2)) is Reason.SHORT


def test_other_protocols_are_rejected() -> None:
    assert reason(header_fixed(changed(sample("v2"), 9, 17))) is Reason.PROTOCOL
    assert reason(changed(sample("v3_ipv6"), 6, 58)) is Reason.PROTOCOL
    assert reason(changed(sample("v2_ah"), 20, 6)) is Reason.PROTOCOL
    assert reason(changed(sample("v2"), 0, 0x55)) is Reason.PROTOCOL


def test_version_3_without_the_pseudo_header_in_its_checksum_is_accepted() -> None:
    """keepalived.conf(5): v3_checksum_as_v2."""
    packet = bytearray(sample("v3_ipv4"))
    packet[26:28] = b"\0\0"
    total = sum(int.from_bytes(packet[i : i + 2], "big") for i in range(20, len(packet), 2))
    total = (total & 0xFFFF) + (total >> 16)
    packet[26:28] = (0xFFFF - total).to_bytes(2, "big")
    assert reason(bytes(packet)) is None


def test_an_empty_packet_is_short() -> None:
    assert decode(b"", OURS) == Rejected(Reason.SHORT)


@given(st.binary(max_size=120))
def test_garbage_is_rejected_and_raises_nothing(packet: bytes) -> None:
    assert isinstance(decode(packet, OURS), Rejected)


@given(st.sampled_from(sorted(KINDS)), st.data())
def test_a_damaged_advert_raises_nothing(kind: str, data: st.DataObject) -> None:
    packet = sample(kind)
    offset = data.draw(st.integers(0, len(packet) - 1))
    damaged = changed(packet, offset, data.draw(st.integers(0, 255)))
    assert isinstance(decode(damaged, range(256)), Advert | Rejected)


def test_the_filter_of_all_vrids_fits_into_one_program() -> None:
    assert len(advert_filter(range(256))) // 8 < 4096  # BPF_MAXINSNS


HEARD = Advert(2, 7, ip_address("192.0.2.1"), ip_address("192.0.2.2"), 100, 1.0)
VR_7 = InstanceConfig("VR_7", 7, "ha0")


def test_an_advert_of_another_version_than_the_configured_one_is_not_believed() -> None:
    version_3 = replace(VR_7, version=3)
    assert objection(HEARD, [VR_7]) is None
    assert objection(HEARD, [version_3]) is Reason.VERSION
    assert objection(HEARD, [version_3, VR_7]) is None  # one VRID, an instance for each family
