"""What each witness said last ahead of a transition: in sentences, in order, and when."""

from __future__ import annotations

from msgspec.structs import replace

from havrrpd.core.messages import GatewayProbed, KeepalivedReloaded, LinkChanged, StateNotified
from havrrpd.core.model import Cause, Gateway, Outcome, State, Witness, Word
from tests.support import CHECKED, GATEWAY, INSTANCE, Driven, configured

UPSTREAM = Gateway(GATEWAY, "qg-1")


def said(driven: Driven) -> list[tuple[str, str, float]]:
    """By whom, what, and how many milliseconds before or after the transition."""
    last = driven.instance.last_transition
    assert last is not None
    return [(e.witness, e.said, round((e.at - last.at) * 1000, 1)) for e in driven.evidence]


def test_a_promotion_shows_the_resignation_before_it_and_who_agreed() -> None:
    driven = Driven().as_backup().hear(0, at=10.0)
    driven.feed(*Driven.adding(), at=10.61)
    driven.feed(StateNotified("VR_1", Word.MASTER, 150), at=10.6124)
    assert said(driven) == [
        (Witness.PROCESS, "keepalived runs, pid 7", -110612.4),
        (Witness.LEVER, "the track file holds -40: priority 110", -10612.4),
        (Witness.WIRE, "169.254.192.2 resigned: priority 0", -612.4),
        (Witness.KERNEL, "2 of 2 virtual addresses are there", -2.4),
        (Witness.NOTIFICATION, "keepalived said MASTER", 0.0),
    ]


def test_an_instance_that_a_reload_brings_shows_since_when_keepalived_runs() -> None:
    renamed = configured(replace(INSTANCE, name="VR_new"))
    driven = Driven().as_master().feed(KeepalivedReloaded(renamed), at=20.0)
    assert said(driven)[0] == (Witness.PROCESS, "keepalived runs, pid 7", -120000.0)


def test_a_peer_that_fell_silent_is_named_with_its_last_advert() -> None:
    driven = Driven().as_backup().hear(120, at=10.0).wait_until(13.9)
    driven.feed(*Driven.adding(), StateNotified("VR_1", Word.MASTER, 150))
    assert (Witness.WIRE, "169.254.192.2 sent priority 120", -3900.0) in said(driven)
    assert driven.transitions[0].cause is Cause.PEER_SILENT


def test_a_lost_gateway_is_named_with_what_the_lever_did() -> None:
    driven = Driven(health_check=CHECKED, sends=True).as_master()
    for at in (1.0, 1.5, 2.0):
        probed = GatewayProbed(UPSTREAM, 1000.0 + at - 0.5, Outcome.TIMEOUT, "arp+icmp")
        driven.feed(probed, at=at)
    driven.sends = False
    driven.send(0, at=2.001)
    driven.feed(*Driven.removing(), StateNotified("VR_1", Word.FAULT, 150), at=2.002)
    assert driven.instance.state is State.FAULT
    assert said(driven)[1:] == [
        (Witness.WIRE, "169.254.192.2 resigned: priority 0", -2002.0),
        (
            Witness.GATEWAY,
            "203.0.113.1 is lost: 3 probes in a row without an answer",
            -2.0,
        ),
        (Witness.LEVER, "this node resigns: gateway_lost", -2.0),
        (Witness.LEVER, "the track file holds -254: FAULT", -2.0),
        (Witness.WIRE, "this node resigned: priority 0", -1.0),
        (Witness.KERNEL, "0 of 2 virtual addresses are there", 0.0),
        (Witness.NOTIFICATION, "keepalived said FAULT", 0.0),
    ]


def test_a_link_that_went_down_is_named() -> None:
    driven = Driven().as_backup().feed(LinkChanged("ha-1", False), at=5.0)
    driven.feed(StateNotified("VR_1", Word.FAULT, 150), at=5.001)
    kernel = "0 of 2 virtual addresses are there, ha-1 is down"
    assert (Witness.KERNEL, kernel, -1.0) in said(driven)


def test_a_keepalived_that_died_says_nothing_and_its_addresses_are_there() -> None:
    driven = Driven().as_master().die(at=3.0)
    assert (Witness.PROCESS, "keepalived does not run", 0.0) in said(driven)
    assert (Witness.KERNEL, "2 of 2 virtual addresses are there", -3000.0) in said(driven)


def test_what_a_process_before_this_one_sent_has_no_priority() -> None:
    driven = Driven().as_master().send(150, at=1.0).die(at=2.0).as_backup()
    assert (Witness.WIRE, "this node sent an advert", -1000.0) in said(driven)
