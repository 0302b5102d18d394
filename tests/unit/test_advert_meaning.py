"""What a packet tells: remembered for as long as the same one comes, and never for another one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from havrrpd.sources.adverts import Reason, Rejected
from havrrpd.sources.adverts.decode import essence
from havrrpd.sources.adverts.meaning import Meanings, Told
from tests.unit.test_advert_decode import KINDS, changed, header_fixed, sample
from tests.unit.test_advert_oddities import OURS

IPV4 = [kind for kind in KINDS if sample(kind)[0] >> 4 == 4]
NUMBER, CHECKSUM = 4, 10  # where they are in the header of IPv4


def numbered(packet: bytes, number: int) -> bytes:
    """The same packet of IPv4, sent as that one of its sender."""
    return header_fixed(packet[:NUMBER] + number.to_bytes(2, "big") + packet[NUMBER + 2 :])


def meanings(kind: str) -> Meanings:
    return Meanings("ha0", {7: (OURS[kind],)})


@pytest.mark.parametrize("outgoing", [True, False])
@pytest.mark.parametrize("kind", IPV4)
@given(number=st.integers(0, 0xFFFF))
def test_the_next_packet_of_a_sender_is_not_looked_at_again(
    kind: str, outgoing: bool, number: int
) -> None:
    known = meanings(kind)
    first = known.of(sample(kind), outgoing)
    assert isinstance(first, Told)
    assert known.of(numbered(sample(kind), number), outgoing) is first


@pytest.mark.parametrize("kind", KINDS)
def test_an_advert_that_was_sent_is_not_taken_for_one_that_is_heard(kind: str) -> None:
    known = meanings(kind)
    sent, heard = known.of(sample(kind), True), known.of(sample(kind), False)
    assert isinstance(sent, Told)
    assert isinstance(heard, Told)
    assert type(sent.event) is not type(heard.event)


@pytest.mark.parametrize("kind", IPV4)
def test_another_number_with_the_old_checksum_is_rejected(kind: str) -> None:
    known = meanings(kind)
    known.of(sample(kind), False)
    broken = changed(sample(kind), NUMBER, sample(kind)[NUMBER] ^ 1)
    assert known.of(broken, False) == Rejected(Reason.CHECKSUM)


@st.composite
def packets(draw: st.DrawFn, kind: str) -> bytes:
    """A real one with up to four other bytes, often those of the number and the checksum."""
    packet = sample(kind, draw(st.integers(0, 1)))
    places = st.sampled_from([4, 5, 10, 11]) | st.integers(0, len(packet) - 1)
    for place in draw(st.lists(places, max_size=4)):
        packet = changed(packet, place, draw(st.integers(0, 255)))
    if packet[0] >> 4 == 4 and draw(st.booleans()):
        packet = header_fixed(packet)
    return packet[: draw(st.just(len(packet)) | st.integers(0, len(packet)))]


HISTORIES = {kind: st.lists(st.tuples(packets(kind), st.booleans()), max_size=6) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_each_byte_is_of_the_essence(kind: str) -> None:
    packet = sample(kind)
    for place in range(len(packet)):
        for bit in range(8):
            other = changed(packet, place, packet[place] ^ 1 << bit)
            assert essence(other) != essence(packet)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_what_came_before_changes_nothing(kind: str, data: st.DataObject) -> None:
    known = meanings(kind)
    for packet, outgoing in data.draw(HISTORIES[kind]):
        assert known.of(packet, outgoing) == meanings(kind).of(packet, outgoing)
