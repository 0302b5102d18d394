"""In what an advert differs from what our own keepalived would send, on real adverts of 2.2.7."""

from __future__ import annotations

from dataclasses import replace as replace_advert
from ipaddress import ip_address, ip_interface
from pathlib import Path

import pytest
from msgspec.structs import replace

from havrrpd.core.authentication import AH, password
from havrrpd.core.model import InstanceConfig, VirtualAddress
from havrrpd.core.node import OddAdvert, Oddity
from havrrpd.sources.adverts import Advert, Reason, decode
from havrrpd.sources.adverts.oddities import MOST, Oddities, differences, oddity

SAMPLES = Path(__file__).parent / "samples" / "adverts"
EXCLUDED = VirtualAddress(ip_interface("203.0.113.9/24"), "qg-0", excluded=True)


def address(text: str) -> VirtualAddress:
    return VirtualAddress(ip_interface(text), "ha0")


V2 = InstanceConfig("VR_7", 7, "ha0", virtual_addresses=(address("198.51.100.1/32"), EXCLUDED))
V3 = replace(V2, version=3, advert_int=0.25)
V6 = replace(V3, virtual_addresses=(address("fe80::7/64"),))
OURS = {
    "v2": V2,
    "v2_pass": replace(V2, authentication=password(b"secret")),
    "v2_ah": replace(V2, authentication=AH),
    "v3_ipv4": V3,
    "v3_ipv6": V6,
    "unicast": V2,
    "v3_unicast_ipv6": replace(V6, advert_int=1.0),
}


def heard(kind: str) -> Advert:
    advert = decode(bytes.fromhex((SAMPLES / f"{kind}.hex").read_text().split()[0]), {7})
    assert isinstance(advert, Advert)
    return advert


@pytest.mark.parametrize("kind", OURS)
def test_a_peer_with_our_configuration_sends_nothing_odd(kind: str) -> None:
    assert differences(heard(kind), [OURS[kind]]) == frozenset()


@pytest.mark.parametrize(
    ("kind", "ours", "odd"),
    [
        ("v2", replace(V2, advert_int=2.0), {Oddity.ADVERT_INT}),
        ("v3_ipv4", replace(V3, advert_int=1.0), {Oddity.ADVERT_INT}),
        ("v2", replace(V2, virtual_addresses=()), {Oddity.VIRTUAL_ADDRESSES}),
        (
            "v2",
            replace(V2, virtual_addresses=(*V2.virtual_addresses, address("10.0.0.1/24"))),
            {Oddity.VIRTUAL_ADDRESSES},
        ),
        ("v3_ipv6", replace(V6, virtual_addresses=(address("fe80::8/64"),)), {"virtual_addresses"}),
        ("v2", replace(V2, authentication=password(b"secret")), {Oddity.AUTHENTICATION}),
        ("v2_pass", replace(V2, authentication=password(b"other")), {Oddity.AUTHENTICATION}),
        ("v2_pass", V2, {Oddity.AUTHENTICATION}),
        ("v2_ah", V2, {Oddity.AUTHENTICATION}),
        ("v2", V3, {Oddity.VERSION}),
        ("v2", replace(V2, advert_int=2.0, authentication=AH), {"advert_int", "authentication"}),
    ],
)
def test_what_differs_is_named(kind: str, ours: InstanceConfig, odd: set[Oddity]) -> None:
    assert differences(heard(kind), [ours]) == odd


def test_with_one_vrid_for_both_families_each_is_compared_with_its_own() -> None:
    assert differences(heard("v3_ipv4"), [V6, V3]) == frozenset()
    assert differences(heard("v3_ipv6"), [V3, V6]) == frozenset()


def test_in_version_3_there_is_no_authentication_in_the_place_of_version_2() -> None:
    advert = heard("v3_ipv4")
    longer = replace_advert(advert, advert_int=2.56, message=b"\1".join(split(advert.message, 4)))
    assert differences(longer, [replace(V3, advert_int=2.56)]) == frozenset()


def split(message: bytes, place: int) -> tuple[bytes, bytes]:
    """Without the byte at the place."""
    return message[:place], message[place + 1 :]


def test_only_the_first_eight_bytes_of_a_password_count() -> None:
    assert password(b"abcdefgh") == password(b"abcdefghi") != password(b"abcdefg")
    assert "abcdefgh" not in password(b"abcdefgh")


def test_the_text_of_an_advert_shows_no_password() -> None:
    assert "secret" not in repr(heard("v2_pass"))


def test_rejected_packets_with_our_vrid_are_odd_and_garbage_is_not() -> None:
    assert oddity(Reason.VERSION) is Oddity.VERSION
    assert oddity(Reason.HOP_LIMIT) is Oddity.HOP_LIMIT
    assert oddity(Reason.FOREIGN_VRID) is None
    assert oddity(Reason.SHORT) is None


def odd(last: int, at: float = 1.0, why: Oddity = Oddity.VERSION) -> OddAdvert:
    return OddAdvert("ha0", ip_address(f"192.0.2.{last}"), frozenset({why}), at)


def test_the_latest_of_each_source_is_kept_and_the_oldest_sources_go() -> None:
    oddities = Oddities()
    for last in range(MOST + 1):
        oddities.note("r", odd(last))
    oddities.note("r", odd(1, at=2.0, why=Oddity.CHECKSUM))
    kept = oddities.all()["r"]
    assert [str(each.source) for each in kept] == [f"192.0.2.{n}" for n in (2, 3, 4, 5, 6, 7, 8, 1)]
    assert kept[-1] == odd(1, at=2.0, why=Oddity.CHECKSUM)
    oddities.forget("r")
    assert oddities.all() == {}
