"""When a MASTER probes its gateways, and what it concludes."""

from ipaddress import IPv4Address, IPv6Address, ip_interface

from msgspec.structs import replace

from havrrpd.core.messages import (
    Action,
    AddressAdded,
    AddressRemoved,
    DeadlinePassed,
    DefaultRoutesListed,
    GatewayProbed,
    ListDefaultRoutes,
    ProbeGateway,
    StateNotified,
    StopProbing,
)
from havrrpd.core.model import Gateway, HealthCheck, Outcome, Problem, Verdict, Word
from tests.support import CHECKED, CONFIG, GATEWAY, INSTANCE, Driven, configured

HOP = Gateway(GATEWAY, "qg-1")
PROBE = ProbeGateway(HOP, ip_interface("203.0.113.21/24"), 1.0, ("arp", "icmp"))
NO_LEVER = replace(CONFIG, track_files=())


def reply(sent_at: float, gateway: Gateway = HOP) -> GatewayProbed:
    return GatewayProbed(gateway, 1000.0 + sent_at, Outcome.REPLY, "arp", 0.001)


def missed(sent_at: float, outcome: Outcome = Outcome.TIMEOUT) -> GatewayProbed:
    return GatewayProbed(HOP, 1000.0 + sent_at, outcome, "arp+icmp")


def probes(driven: Driven) -> list[Action]:
    return [a for a in driven.actions if isinstance(a, ProbeGateway)]


def checked_master(health_check: HealthCheck = CHECKED) -> Driven:
    return Driven(NO_LEVER, health_check, sends=True).as_master()


def test_nothing_is_probed_with_an_interval_of_zero() -> None:
    driven = Driven().as_master().wait_until(2.0)
    assert probes(driven) == []
    assert driven.router.connectivity is Verdict.UNCHECKED


def test_a_backup_never_probes() -> None:
    driven = Driven(NO_LEVER, CHECKED).as_backup().wait_until(3.0)
    assert probes(driven) == []


def test_a_new_master_probes_at_once_from_its_own_address() -> None:
    driven = checked_master().wait_until(0.0)
    assert driven.router.checks[0].gateway == HOP
    driven.wait_until(0.5)
    assert probes(driven) == [PROBE]


def test_a_probe_is_sent_from_what_is_there_by_then() -> None:
    lower = ip_interface("203.0.113.20/24")
    driven = checked_master().feed(reply(0.0), at=0.01).feed(AddressAdded("qg-1", lower))
    assert probes(driven.wait_until(1.0)) == [replace(PROBE, source=lower)]
    driven.feed(reply(1.0), AddressRemoved("qg-1", lower), at=1.01)
    assert probes(driven.wait_until(2.0)) == [PROBE]


def test_an_answered_probe_is_followed_by_the_next_after_the_interval() -> None:
    driven = checked_master().feed(reply(0.0), at=0.01)
    assert driven.router.connectivity is Verdict.REACHABLE
    assert probes(driven.wait_until(0.99)) == []
    assert probes(driven.wait_until(1.0)) == [PROBE]


def test_a_gateway_is_lost_after_fall_failures_at_the_promised_moment() -> None:
    driven = checked_master().feed(reply(0.0), at=0.01)
    sent = []
    for _ in range(3):
        due = driven.router.checks[0].due - 1000.0
        driven.wait_until(due)
        assert probes(driven) == [PROBE]
        sent.append(due)
    assert sent == [1.0, 1.5, 2.0]
    driven.feed(missed(1.0), at=2.0).feed(missed(1.5), at=2.5)
    assert driven.router.connectivity is Verdict.REACHABLE
    driven.feed(missed(2.0), at=3.0)
    assert driven.router.connectivity is Verdict.LOST
    assert 1.0 + CHECKED.time_to_lose == 3.0
    assert Problem.GATEWAY_UNREACHABLE in driven.router.problems


def test_a_single_missed_probe_between_answers_loses_nothing() -> None:
    driven = checked_master().feed(reply(0.0), at=0.01)
    driven.feed(missed(1.0), at=2.0).feed(reply(1.5), at=2.1)
    assert driven.router.checks[0].failures_in_a_row == 0


def test_a_probe_that_times_out_after_a_later_one_was_answered_does_not_count() -> None:
    driven = checked_master().feed(reply(0.5), at=0.6).feed(missed(0.0), at=1.0)
    assert driven.router.checks[0].failures_in_a_row == 0


def test_a_stalled_observer_does_not_vote() -> None:
    driven = checked_master()
    for _ in range(5):
        driven.feed(missed(0.0, Outcome.DISCARDED), at=3.0)
    assert driven.router.connectivity is Verdict.UNCHECKED
    assert driven.router.probes[HOP, "arp+icmp", Outcome.DISCARDED] == 5


def test_a_lost_gateway_is_back_after_rise_answers_in_a_row() -> None:
    driven = checked_master()
    for sent in (0.0, 0.5, 1.0):
        driven.feed(missed(sent), at=sent + 1.0)
    assert driven.router.connectivity is Verdict.LOST
    driven.feed(reply(3.0), at=3.0)
    assert driven.router.connectivity is Verdict.LOST
    driven.feed(missed(3.5), at=4.5).feed(reply(5.0), at=5.0)
    assert driven.router.connectivity is Verdict.LOST
    driven.feed(reply(5.5), at=5.5)
    assert driven.router.connectivity is Verdict.REACHABLE


def test_losing_the_role_stops_the_probing_and_forgets_the_verdict() -> None:
    driven = checked_master().feed(reply(0.0)).fault()
    assert StopProbing() in driven.actions
    assert driven.router.checks == ()
    assert driven.router.connectivity is Verdict.UNCHECKED
    driven.feed(reply(0.1))
    assert driven.router.checks == ()


def test_require_all_loses_with_one_gateway_and_require_any_with_the_last() -> None:
    both = (GATEWAY, IPv4Address("203.0.113.2"))
    for require, after_one in (("all", Verdict.LOST), ("any", Verdict.UNCHECKED)):
        driven = checked_master(replace(CHECKED, gateways=both, require=require))
        assert [c.gateway.address for c in driven.router.checks] == list(both)
        for sent in (0.0, 0.5, 1.0):
            driven.feed(missed(sent), at=sent + 1.0)
        assert driven.router.connectivity is after_one
        driven.feed(reply(2.0, Gateway(both[1], "qg-1")))
        assert driven.router.connectivity is (
            Verdict.LOST if require == "all" else Verdict.REACHABLE
        )


def test_without_configured_gateways_or_virtual_routes_the_default_routes_are_asked() -> None:
    bare = configured(replace(INSTANCE, virtual_routes=()))
    driven = Driven(bare, CHECKED, sends=True).as_backup().hear(0)
    driven.promote()
    assert ListDefaultRoutes() in driven.actions
    hop = Gateway(IPv6Address("fe80::1"), "qg-1")
    driven.feed(
        AddressAdded("qg-1", ip_interface("fe80::2/64")), DefaultRoutesListed((hop,)), at=0.1
    )
    assert probes(driven.wait_until(0.1)) == [
        ProbeGateway(hop, ip_interface("fe80::2/64"), 1.0, ("arp", "icmp"))
    ]
    driven.wait_until(10.0)
    assert ListDefaultRoutes() in driven.actions


def test_a_hung_master_does_not_probe() -> None:
    driven = Driven(NO_LEVER, CHECKED).as_master().send(at=1.0).wait_until(4.0)
    assert StopProbing() in driven.actions
    assert driven.router.connectivity is Verdict.UNCHECKED
    assert probes(driven.wait_until(20.0)) == []
    assert probes(driven.send(at=21.0).wait_until(21.0)) == [PROBE]


def test_a_gateway_keeps_its_failures_when_the_address_beside_it_goes() -> None:
    neighbour = ip_interface("198.51.100.7/24")
    check = replace(CHECKED, gateways=(IPv4Address("198.51.100.1"),))
    driven = Driven(NO_LEVER, check, sends=True).as_backup().hear(0)
    driven.feed(AddressAdded("qr-1", neighbour)).promote()
    known = driven.router.checks[0].gateway
    assert known.interface == "qr-1"
    for sent in (0.0, 0.5):
        driven.feed(replace(missed(sent), gateway=known), at=sent + 1.0)
    driven.feed(AddressRemoved("qr-1", neighbour))
    assert driven.router.checks[0].failures_in_a_row == 2


def test_a_configured_link_local_gateway_names_its_interface() -> None:
    check = replace(CHECKED, gateways=(IPv6Address("fe80::1%qg-1"),))
    driven = Driven(NO_LEVER, check, sends=True).as_master()
    assert driven.router.checks[0].gateway == Gateway(IPv6Address("fe80::1"), "qg-1")


def test_a_stall_is_not_made_good_by_a_burst() -> None:
    driven = checked_master().feed(DeadlinePassed(), DeadlinePassed(), at=20.0)
    assert probes(driven) == [PROBE]


def test_what_is_heard_late_sends_no_probe() -> None:
    driven = checked_master()
    assert probes(driven.feed(reply(0.0), reply(0.5), at=20.0)) == []
    assert probes(driven.feed(StateNotified("VR_1", Word.MASTER, 150), at=20.0)) == []
    assert probes(driven.wait_until(20.0)) == [PROBE]
