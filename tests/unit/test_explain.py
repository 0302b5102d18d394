"""What an operator reads: whole lists of sentences, for each situation that there is."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from havrrpd.core.explain import explain
from havrrpd.core.explain.problems import sentences as problem_sentences
from havrrpd.core.explain.wording import duration
from havrrpd.core.messages import (
    AddressRemoved,
    AdvertHeard,
    DrainChanged,
    Event,
    FailoverRequested,
    KeepalivedStarted,
    KernelListed,
    LinkChanged,
    StandingFailed,
    StateNotified,
    Stopping,
    UplinksChanged,
    WireWatched,
)
from havrrpd.core.model import Gateway, Phase, Problem, Router, Settings, Word
from havrrpd.core.priority import effective_priority
from tests.support import (
    CHECKED,
    CONFIG,
    EXCLUDED,
    GATEWAY,
    INSTANCE,
    LEVER,
    Driven,
    configured,
)
from tests.unit.test_election import PREEMPTING, lose_gateway, outage
from tests.unit.test_gateways import missed, reply
from tests.unit.test_step_properties import HISTORIES

BARE = replace(CONFIG, track_files=())
PEER_HEARD = "169.254.192.2 is heard as MASTER with priority 140: for 0 s, the last time 0 s ago."
PROMOTED = "MASTER for 2 s: the MASTER before it resigned (peer_resigned)."
LAST_ADVERT = "Its last advert, 0 s ago, said priority 150."
LOST = (
    "gateway_unreachable: MASTER here, and 203.0.113.1 can't be reached. "
    "Look at the uplink of this node."
)
MISSED = "Its gateways, checked every 1 s: 203.0.113.1 is lost (missed 3 probes in a row)."
TRIED = (
    "It is tried: it had its turn in this round. It is untried again when a MASTER is heard with a "
    "priority from 2 to 16 (a new round), or when "
)
SOME_MASTER_LASTS = "one MASTER stays for longer than a failing turn lasts."
UNDRAIN = "`havrrpd undrain` ends the drain."
LAST_RESORT = "This node is drained, and MASTER all the same, as the last resort."
WITHOUT_CHECK = "Its gateways are not checked: health_check.interval is 0."
STANZA = "add what `havrrpd keepalived stanza r1` prints, and reload keepalived."
FAULT_KEPT = "FAULT for 0 s: its gateways were lost (gateway_lost)."


def checked(*, observe_only: bool = False) -> Driven:
    return Driven(health_check=CHECKED, sends=True, observe_only=observe_only)


def said(driven: Driven, after: float = 0.0) -> list[str]:
    return list(explain(driven.router, driven.now + after))


def untried(driven: Driven) -> str:
    """The rank of this node is what it is: the figures follow from it."""
    own = effective_priority(driven.router, driven.instance)
    return f"Its priority is {own}: base 150, lowered by {150 - own} as untried."


def follows(priority: int) -> str:
    skew = (256 - priority) / 256
    return (
        f"It becomes MASTER {duration(skew)} after 169.254.192.2 resigns, or after "
        f"{duration(3 + skew)} of its silence, unless another BACKUP is quicker: one with a higher "
        "priority is."
    )


def back_as_backup(driven: Driven, at: float) -> Driven:
    return driven.feed(StateNotified("VR_1", Word.BACKUP, 10), at=at)


def second_turn() -> Driven:
    """MASTER again in the outage in which it failed before."""
    driven = outage(checked()).fault().hear(140, at=2.6)
    return back_as_backup(driven, 2.7).hear(0, at=6.0).promote()


# --- MASTER ---


def test_a_master_that_is_well() -> None:
    driven = checked().as_master().feed(reply(0.0), at=0.1).feed(reply(1.0), at=1.1).send(at=12.0)
    assert said(driven, after=0.4) == [
        "MASTER for 12 s: the MASTER before it resigned (peer_resigned).",
        "Its gateways, checked every 1 s: 203.0.113.1 answers.",
        "This node resigns when a gateway misses 3 probes in a row (2 s).",
        untried(driven),
        "Its last advert, 0.4 s ago, said priority 150.",
    ]


def test_a_master_whose_gateways_are_not_checked() -> None:
    driven = Driven().as_master()
    assert said(driven) == [
        "MASTER for 0 s: the MASTER before it resigned (peer_resigned).",
        WITHOUT_CHECK,
        "This node resigns for a drain or a failover, and for nothing else.",
        untried(driven),
    ]


def test_a_master_that_misses_probes_and_one_that_gets_answers_again() -> None:
    driven = checked().as_master()
    assert "checked every 1 s: 203.0.113.1 has not answered yet." in said(driven)[1]
    driven.feed(missed(0.0), at=1.0)
    assert "203.0.113.1 has missed 1 of the 3 probes that lose it." in said(driven)[1]
    driven = outage(checked(observe_only=True)).feed(reply(3.0), at=3.1)
    assert "is lost (answered 1 of 2 probes that restore it)." in said(driven)[2]


def test_a_master_without_a_gateway_says_so() -> None:
    driven = Driven(configured(replace(INSTANCE, virtual_routes=())), CHECKED).as_master()
    assert said(driven)[1] == (
        "Its gateways are not checked: none is configured, and no default route was found."
    )


def test_of_two_gateways_only_the_lost_one_is_complained_of() -> None:
    other = IPv4Address("203.0.113.2")
    check = replace(CHECKED, gateways=(GATEWAY, other))
    driven = Driven(BARE, check, sends=True).as_master()
    lose_gateway(driven.feed(reply(0.0, Gateway(other, "qg-1"))), 0.0)
    assert said(driven)[1:4:2] == [
        LOST,
        "Its gateways, checked every 1 s: 203.0.113.1 is lost (missed 3 probes in a row) and "
        "203.0.113.2 answers.",
    ]


def test_where_any_gateway_is_enough_every_one_must_be_lost() -> None:
    driven = Driven(health_check=replace(CHECKED, require="any"), sends=True).as_master()
    assert said(driven)[2] == (
        "This node resigns when every gateway misses 3 probes in a row (2 s)."
    )


def test_a_hung_master_checks_nothing() -> None:
    driven = Driven(health_check=CHECKED).as_master().send(at=1.0).wait_until(4.0)
    assert said(driven)[2] == "Its gateways are not checked while it sends no adverts."


def test_a_last_advert_that_resigned_is_not_shown_as_one_of_a_master() -> None:
    driven = Driven().as_master().send(150).send(0)
    assert said(driven)[-1] == untried(driven)


def test_a_master_that_was_found_and_not_made_is_master_for_at_least_that_long() -> None:
    held = frozenset((v.interface, v.address) for v in INSTANCE.virtual_addresses)
    links = {"ha-1": True, "qg-1": True}
    driven = Driven().feed(KeepalivedStarted(7, None, CONFIG, 900.0), KernelListed(links, held))
    assert said(driven, after=200)[0] == (
        "MASTER for at least 3 min 20 s: so it was when havrrpd looked (started)."
    )


def test_a_master_that_resigns_at_once() -> None:
    assert said(outage(checked())) == [
        PROMOTED,
        LOST,
        MISSED,
        "This node has been resigning for 0 s: its gateways were lost (gateway_lost).",
        "keepalived has not given the role up yet.",
        "It ends when another MASTER is heard, or in 4.4 s at the latest: then the priority is 4 "
        "as tried, or that of the untried if a new round begins with that MASTER.",
        "Its base priority is 150; its track file holds -254: FAULT.",
        LAST_ADVERT,
    ]


def test_a_resigning_node_waits_in_fault_for_another_master() -> None:
    assert said(outage(checked()).fault(), after=0.3) == [
        "FAULT for 0.3 s: its gateways were lost (gateway_lost).",
        f"Its lever holds it down: the track file {LEVER} holds -254.",
        "This node has been resigning for 0.3 s: its gateways were lost (gateway_lost).",
        "It ends when another MASTER is heard, or in 4.1 s at the latest: then the priority is 4 "
        "as tried, or that of the untried if a new round begins with that MASTER.",
    ]


def test_a_failover_is_a_resignation_with_another_cause() -> None:
    driven = Driven().as_master().feed(FailoverRequested()).fault()
    assert said(driven)[2:3] == [
        "This node has been resigning for 0 s: an operator asked for a failover "
        "(failover_requested)."
    ]


def test_a_second_turn_lasts_longer() -> None:
    assert said(second_turn(), after=1.0)[1:] == [
        "Its gateways, checked every 1 s: 203.0.113.1 has not answered yet.",
        "This is turn 2 of this node in this outage; it began 1 s ago and lasts at least "
        "4 s: after that this node resigns when a gateway misses 3 probes in a row (2 s).",
        "It counts as tried until its gateways have answered 2 probes in a row.",
        "Its priority is 4: base 150, lowered by 146 as tried.",
        "Its last advert, 5 s ago, said priority 150.",
    ]


def test_a_node_that_dwells_says_until_when() -> None:
    assert said(lose_gateway(second_turn(), 6.0)) == [
        PROMOTED,
        LOST,
        MISSED,
        "This is turn 2 of this node in this outage; it lasts at least 4 s: this node "
        "resigns in 2 s, unless its gateways answer 2 probes in a row before.",
        "It counts as tried until its gateways have answered 2 probes in a row.",
        "Its priority is 4: base 150, lowered by 146 as tried.",
        LAST_ADVERT,
    ]


def test_a_node_that_nobody_relieved_is_alone() -> None:
    driven = back_as_backup(outage(checked()).fault().wait_until(7.0), 8.0)
    assert said(driven) == [
        "BACKUP for 0 s: back from a FAULT; its gateways were lost (gateway_lost).",
        "No MASTER is heard; the last one resigned 8 s ago: keepalived takes the role after 4 s of "
        "silence.",
        "Nobody took the role when this node resigned 6 s ago: it is alone, and takes the role "
        "again if nobody else is heard.",
        TRIED + SOME_MASTER_LASTS,
        "Its priority is 4: base 150, lowered by 146 as tried.",
    ]
    driven.feed(at=20.0)
    assert said(lose_gateway(driven.promote().send(), 20.0)) == [
        "MASTER for 2 s: the MASTER before it fell silent (peer_silent).",
        LOST,
        MISSED,
        "Nobody took the role when this node resigned 20 s ago: it is alone, and serves what it "
        "can.",
        "This is turn 2 of this node in this outage; it lasts at least 4 s: this node "
        "resigns in 2 s, unless its gateways answer 2 probes in a row before.",
        "It counts as tried until its gateways have answered 2 probes in a row.",
        "Its priority is 4: base 150, lowered by 146 as tried.",
        LAST_ADVERT,
    ]


def test_observe_only_says_why_nothing_moves() -> None:
    driven = outage(checked(observe_only=True))
    configured_priority = "Its priority is 150, as configured: nothing lowers it."
    assert said(driven) == [
        PROMOTED,
        LOST,
        MISSED,
        "This node does not resign: observe_only is set.",
        configured_priority,
        LAST_ADVERT,
    ]
    assert said(Driven(observe_only=True).as_backup().hear(140)) == [
        "BACKUP for at least 0 s: so it was when havrrpd looked (started).",
        PEER_HEARD,
        "observe_only is set: havrrpd looks, and moves nothing.",
        configured_priority,
        follows(150),
    ]


def test_without_a_lever_the_stanza_is_named() -> None:
    assert said(outage(Driven(BARE, CHECKED, sends=True))) == [
        PROMOTED,
        LOST,
        "lever_missing: this node should give the router away, and the loaded configuration has no "
        f"track file of ours: {STANZA}",
        MISSED,
        "This node does not resign: the loaded keepalived configuration has no track file of ours "
        "(lever_missing).",
        "Its priority is 150, as configured: nothing can lower it.",
        LAST_ADVERT,
    ]
    assert said(Driven(BARE).as_backup())[2] == f"It has no lever: {STANZA}"


def test_the_owner_of_the_addresses_needs_another_priority_and_no_stanza() -> None:
    owner = Driven(configured(replace(INSTANCE, priority=255))).as_backup()
    assert said(owner)[2] == (
        "It has no lever: keepalived never lowers priority 255: set 254 or less."
    )


def test_a_deaf_node_does_not_resign_for_a_gateway() -> None:
    driven = checked().as_master().feed(WireWatched(False))
    assert said(lose_gateway(driven, 0.0)) == [
        PROMOTED,
        LOST,
        MISSED,
        "This node does not resign: deaf to adverts, it would not know who follows.",
        untried(driven),
        LAST_ADVERT,
        "The adverts are not watched: another MASTER or a hung keepalived is not seen, and no "
        "gateway makes this node resign.",
    ]


def test_a_base_priority_without_room_is_only_resigned() -> None:
    driven = outage(Driven(configured(replace(INSTANCE, priority=20)), CHECKED, sends=True))
    assert said(driven)[-4:-2] == [
        "It ends when another MASTER is heard, or in 4.9 s at the latest: then the priority is 20 "
        "again.",
        "Its base priority 20 leaves no room to take turns (34 would): it is only resigned, and "
        "may be chosen again at once.",
    ]


def test_different_base_priorities_are_only_resigned() -> None:
    lower = replace(INSTANCE, name="VR_2", vrid=2, priority=100, virtual_addresses=())
    driven = Driven(replace(CONFIG, instances=(INSTANCE, lower))).as_backup()
    assert said(driven)[4] == (
        "The base priorities of its instances differ, and one track file can't lower them alike: "
        "it is only resigned, and may be chosen again at once."
    )


def test_where_preemption_rules_it_is_the_return_that_waits() -> None:
    driven = outage(Driven(PREEMPTING, CHECKED, sends=True)).fault().hear(140, at=2.6)
    assert said(back_as_backup(driven, 2.6), after=0.4) == [
        "BACKUP for 0.4 s: back from a FAULT; its gateways were lost (gateway_lost).",
        "169.254.192.2 is heard as MASTER with priority 140: for 0.4 s, the last time 0.4 s ago.",
        "It is tried, and waits: untried, preempt would let it take the role back at once.",
        "That ends when a MASTER is heard with a priority from 2 to 16 (a new round), or when "
        "169.254.192.2 still is MASTER in 8.6 s, but not before 3 s have passed.",
        "Its priority is 4: base 150, lowered by 146 as tried.",
        follows(4),
    ]
    driven.hear(0, at=4.0).promote()
    assert said(driven)[2] == (
        "This is turn 2 of this node in this outage; it began 0 s ago: this node resigns "
        "when a gateway misses 3 probes in a row (2 s), at the earliest."
    )


def test_a_preempting_node_found_tried_does_not_know_when_it_resigned() -> None:
    driven = Driven(PREEMPTING, lever_holds=-146).as_backup()
    assert said(driven)[2].endswith("or when 169.254.192.2 still is MASTER in 5 s.")


def test_a_higher_priority_with_preemption_takes_the_role() -> None:
    driven = Driven(PREEMPTING).as_backup().hear(140)
    assert said(driven)[1:] == [
        PEER_HEARD,
        "Its priority is 150, as configured: nothing lowers it.",
        "preempt is on, and 150 is above 140: keepalived takes the role once its timer of 3.4 s "
        "and its preempt_delay have run out.",
    ]


# --- BACKUP ---


def test_a_backup_says_who_is_master_and_what_would_make_it_master() -> None:
    driven = Driven().as_backup().hear(140, at=12.0)
    own = effective_priority(driven.router, driven.instance)
    assert said(driven, after=0.4) == [
        "BACKUP for at least 12 s: so it was when havrrpd looked (started).",
        "169.254.192.2 is heard as MASTER with priority 140: for 12 s, the last time 0.4 s ago.",
        untried(driven),
        follows(own),
    ]


def test_of_two_masters_the_stronger_one_must_go() -> None:
    driven = Driven().as_backup().hear(140)
    driven.feed(AdvertHeard("ha-1", 1, IPv4Address("169.254.192.3"), 120, 1.0))
    assert said(driven)[1:3] == [PEER_HEARD, PEER_HEARD.replace("2.2", "2.3").replace("140", "120")]
    assert said(driven)[4] == follows(effective_priority(driven.router, driven.instance))


def test_without_room_no_priority_is_that_of_a_tried_node() -> None:
    driven = Driven(configured(replace(INSTANCE, priority=20))).as_backup().hear(16)
    assert said(driven)[1] == PEER_HEARD.replace("140", "16")


def test_a_backup_whose_master_just_resigned_takes_the_role_after_its_skew_time() -> None:
    driven = Driven().as_backup().hear(0, at=5.0)
    skew = (256 - effective_priority(driven.router, driven.instance)) / 256
    assert said(driven, after=0.1)[1] == (
        "No MASTER is heard; the last one resigned 0.1 s ago: keepalived takes the role "
        f"{duration(skew)} after that."
    )


def test_a_backup_that_hears_nobody() -> None:
    driven = Driven().as_backup().wait_until(5.0)
    down = 4 - effective_priority(driven.router, driven.instance) / 256
    takes = f"keepalived takes the role after {duration(down)} of silence."
    assert said(driven) == [
        "BACKUP for at least 5 s: so it was when havrrpd looked (started).",
        f"No MASTER is heard; the last advert of one came 5 s ago: {takes}",
        "no_master_heard: somebody should be MASTER by now, and nobody is heard on ha-1. Check the "
        "other nodes and that network.",
        untried(driven),
    ]
    driven.feed(WireWatched(False), WireWatched(True), at=6.0)
    assert said(driven, after=1.0)[1] == (
        f"No MASTER has been heard since havrrpd began to listen 1 s ago: {takes}"
    )


def test_a_backup_that_was_tried_says_when_that_ends() -> None:
    driven = back_as_backup(outage(checked()).fault().hear(140, at=2.6), 2.6)
    assert said(driven) == [
        "BACKUP for 0 s: back from a FAULT; its gateways were lost (gateway_lost).",
        PEER_HEARD,
        TRIED + "169.254.192.2 still is MASTER in 9 s.",
        "Its priority is 4: base 150, lowered by 146 as tried.",
        follows(4),
    ]
    driven.hear(0, at=6.0).hear(16, at=6.1)
    assert said(driven)[1] == (
        "169.254.192.2 is heard as MASTER with priority 16 (that of a tried node): for 0 s, the "
        "last time 0 s ago."
    )
    assert said(driven)[2] == (
        "It failed 1 turn in an outage not known to be over, and is untried in this round."
    )


def test_a_standing_of_somebody_else_is_not_called_ours() -> None:
    driven = Driven(lever_holds=-7, observe_only=True).as_backup()
    assert said(driven)[3] == (
        "Its priority is 143: base 150, lowered by 7 by the -7 in its track file."
    )


# --- drained ---


def test_a_drained_node_is_the_last_resort() -> None:
    driven = Driven().as_master().feed(DrainChanged(True)).fault()
    assert said(driven)[2:] == [
        "This node has been resigning for 0 s: this node was drained (drained).",
        "It ends when another MASTER is heard, or in 4.4 s at the latest: then the priority is 1 "
        "as drained.",
        UNDRAIN,
    ]
    assert said(back_as_backup(driven.hear(140, at=0.7), 0.7)) == [
        "BACKUP for 0 s: back from a FAULT; this node was drained (drained).",
        PEER_HEARD,
        "This node is drained: the last resort, MASTER only when nobody else takes the role.",
        UNDRAIN,
        "Its priority is 1: base 150, lowered by 149 as drained.",
        follows(1),
    ]
    driven.hear(0, at=5.0).promote()
    assert said(driven)[2:5] == [
        "This node resigns for a failover, and for nothing else.",
        LAST_RESORT,
        UNDRAIN,
    ]
    assert said(driven.feed(Stopping()))[3] == LAST_RESORT


def test_a_drain_that_can_not_be_carried_out_says_why() -> None:
    driven = Driven(observe_only=True).as_master().feed(DrainChanged(True))
    assert said(driven)[2:6] == [
        "This node can't give the role up: observe_only is set.",
        "This node is drained, and can't give the router away: observe_only is set.",
        UNDRAIN,
        "observe_only is set: havrrpd looks, and moves nothing.",
    ]


def test_a_drain_without_room_lowers_nothing() -> None:
    driven = Driven(configured(replace(INSTANCE, priority=20))).as_backup().feed(DrainChanged(True))
    assert "This node is drained; the priority of this router is not lowered for it." in said(
        driven
    )


# --- FAULT, STOPPED, INIT ---


def test_a_fault_by_a_link_names_it() -> None:
    driven = Driven().as_master().feed(LinkChanged("ha-1", False)).fault()
    assert said(driven) == [
        "FAULT for 0 s: a link went down (link_down).",
        "Down or gone: ha-1. It comes back when the link is up.",
    ]
    other = Driven().as_master().feed(LinkChanged("qg-1", False)).fault()
    assert said(other)[1] == (
        "Down or gone: qg-1, where it has virtual addresses. Mend that first."
    )


def test_an_uplink_that_is_down_is_said_first() -> None:
    driven = Driven().as_master().feed(UplinksChanged(frozenset({"eth-ovl"}))).fault()
    assert said(driven, after=90.0) == [
        "Its uplink eth-ovl is down: keepalived is held in FAULT until it is up again.",
        "FAULT for 1 min 30 s: a link went down (link_down).",
        f"Its lever holds it down: the track file {LEVER} holds -254.",
        "Once all uplinks are up, the priority is 110 as untried.",
    ]
    driven.feed(UplinksChanged(frozenset({"eth-ovl", "eth-prov"})), DrainChanged(True))
    assert said(driven)[0] == (
        "Its uplinks eth-ovl and eth-prov are down: keepalived is held in FAULT until they are up "
        "again."
    )
    assert "Once all uplinks are up, the priority is 1 as drained." in said(driven)


def test_an_uplink_for_which_nothing_can_be_done_is_said_first_too() -> None:
    down = UplinksChanged(frozenset({"eth-ovl"}))
    assert said(Driven(observe_only=True).as_master().feed(down))[0] == (
        "Its uplink eth-ovl is down, and keepalived can't be held in FAULT for it: "
        "observe_only is set."
    )
    assert said(Driven(BARE).as_master().feed(down))[:3] == [
        "Its uplink eth-ovl is down, and keepalived can't be held in FAULT for it: the loaded "
        "keepalived configuration has no track file of ours (lever_missing).",
        "MASTER for 0 s: the MASTER before it resigned (peer_resigned).",
        "lever_missing: this node should give the router away, and the loaded configuration has no "
        f"track file of ours: {STANZA}",
    ]


def test_a_fault_that_nothing_explains_sends_to_the_log() -> None:
    driven = Driven().as_backup().feed(StateNotified("VR_1", Word.FAULT, 150), at=1.0)
    assert said(driven) == [
        "FAULT for 0 s: nothing that was seen explains it (unknown).",
        "keepalived says FAULT; neither its links nor its lever explain it: see keepalived's log.",
    ]


def test_a_dead_keepalived_with_and_without_orphaned_addresses() -> None:
    driven = Driven().as_master().die(at=20.0).wait_until(23.0)
    assert said(driven) == [
        "STOPPED for 3 s: keepalived died (keepalived_died).",
        "addresses_orphaned: no living keepalived owns what is left here: 169.254.0.1/24 on ha-1 "
        "and 203.0.113.21/24 on qg-1. Packets may end here. Start this keepalived: it clears them.",
        "keepalived_down: no keepalived runs for this router on this node. Start it.",
    ]
    driven.feed(*Driven.removing())
    assert said(driven)[1] == "It left no virtual address behind."


def test_a_keepalived_that_was_stopped_and_one_that_ended_the_instance() -> None:
    driven = Driven().as_master()
    driven.feed(*Driven.removing(), StateNotified("VR_1", Word.STOP, 0))
    assert said(driven) == [
        "STOPPED for 0 s: keepalived was stopped (keepalived_stopped).",
        "keepalived (process 7) runs, and ended this instance.",
    ]
    assert said(driven.die(), after=4000) == [
        "STOPPED for 1 h 6 min: keepalived was stopped (keepalived_stopped).",
        "It left no virtual address behind.",
        "keepalived_down: no keepalived runs for this router on this node. Start it.",
    ]


def test_a_router_without_instances_still_says_something() -> None:
    assert list(explain(Router("r1", Settings("network1")), 5.0)) == [
        "STOPPED: no VRRP instance of this router is known here."
    ]


def test_before_the_kernel_was_listed_the_role_is_open() -> None:
    driven = Driven().feed(KeepalivedStarted(7, None, CONFIG, 900.0))
    assert said(driven) == [
        "INIT for 0 s.",
        "The kernel's addresses and links are not listed yet: who holds the role is open.",
        "The adverts are not watched: another MASTER or a hung keepalived is not seen, and no "
        "gateway makes this node resign.",
        f"keepalived's own words are not heard: {STANZA}",
    ]


# --- witnesses and problems ---


def test_witnesses_that_differ_are_given_their_time() -> None:
    driven = Driven().as_backup().feed(*Driven.adding(), at=1.0)
    assert said(driven, after=0.1)[2] == (
        "Its witnesses have differed for 0.1 s: if they still do after 0.25 s, kernel and process "
        "are believed, which say MASTER."
    )


def test_a_hung_and_a_doubled_master() -> None:
    driven = Driven().as_master().send(at=5.0).wait_until(8.0)
    assert said(driven)[1] == (
        "adverts_stopped: keepalived runs and holds the role, and its last advert went out 3 s "
        "ago: it hangs. Another node takes over, and both hold the addresses. Restart this "
        "keepalived."
    )
    driven = Driven(sends=True).as_master()
    for second in (1.0, 2.0, 3.0, 3.1):
        driven.hear(140, at=second)
    assert said(driven)[1:3] == [
        "169.254.192.2 is heard as MASTER with priority 140: for 2.1 s, the last time 0 s ago.",
        "duplicate_master: 169.254.192.2 (priority 140) is MASTER too. Check the network between "
        "the nodes, and that advert_int and virtual addresses are equal.",
    ]


def test_missing_addresses_and_witnesses_that_disagree() -> None:
    driven = Driven().as_master().send(at=1.0)
    driven.feed(AddressRemoved(EXCLUDED.interface, EXCLUDED.address)).wait_until(1.5)
    assert said(driven)[1] == (
        "addresses_missing: it is MASTER without 203.0.113.21/24 on qg-1. Reload its keepalived."
    )
    driven = Driven().as_backup().feed(StateNotified("VR_1", Word.MASTER, 150), at=1.0)
    assert said(driven.wait_until(1.5))[2] == (
        "witnesses_disagree: the kernel holds none of its virtual addresses, keepalived said "
        "MASTER; BACKUP is what kernel and process support. Look at the addresses in its namespace "
        "and at keepalived's log."
    )


def test_a_lever_that_can_not_be_written_and_one_without_effect() -> None:
    driven = Driven().as_backup().feed(StandingFailed(LEVER, 0, "No space left on device"))
    assert said(driven)[2] == (
        f"lever_missing: {LEVER} could not be written, so its priority is not what it should be; "
        "havrrpd tries again every 1 s. Look at that directory."
    )
    dead = outage(checked()).wait_until(2.0 + INSTANCE.active_down_interval + 1.0)
    assert (
        f"lever_missing: the last resignation through {LEVER} moved nothing: keepalived does not "
        "follow that file. Reload keepalived; its directory must be there before it starts."
    ) in said(dead)


@pytest.mark.parametrize("problem", Problem)
def test_every_problem_has_a_sentence_that_names_it_and_what_to_do(problem: Problem) -> None:
    router = Driven(BARE).as_master().router
    of_instance = replace(router.instances[0], problems=frozenset({problem}))
    said = [
        *problem_sentences(replace(router, problems=frozenset({problem})), 1000.0),
        *problem_sentences(replace(router, instances=(of_instance,)), 1000.0),
    ]
    assert len(said) == 2
    for sentence in said:
        assert sentence.startswith(f"{problem}: ")
    assert max(len(sentence) for sentence in said) > len(problem) + 40


def test_of_several_instances_each_sentence_says_which_one_it_is_about() -> None:
    second = replace(INSTANCE, name="VR_2", vrid=2, interface="ha-2", virtual_addresses=())
    driven = Driven(replace(CONFIG, instances=(INSTANCE, second))).as_master().die()
    driven.wait_until(1.0)
    assert said(driven) == [
        "VR_1: STOPPED for 1 s: keepalived died (keepalived_died).",
        "VR_2: STOPPED for 1 s: keepalived died (keepalived_died).",
        "addresses_orphaned (VR_1): no living keepalived owns what is left here: 169.254.0.1/24 on "
        "ha-1 and 203.0.113.21/24 on qg-1. Packets may end here. Start this keepalived: it clears "
        "them.",
        "keepalived_down: no keepalived runs for this router on this node. Start it.",
    ]


def test_gateways_are_not_checked_while_one_instance_is_in_fault() -> None:
    second = replace(INSTANCE, name="VR_2", vrid=2, interface="ha-2", virtual_addresses=())
    driven = Driven(replace(CONFIG, instances=(INSTANCE, second)), CHECKED).as_master()
    assert "Its gateways are not checked while an instance is FAULT." in said(driven)


def test_a_daemon_that_stops_says_so() -> None:
    assert said(Driven().as_master().feed(Stopping()))[2:4] == [
        "This node can't give the role up: havrrpd is stopping.",
        "havrrpd is stopping: it begins nothing new.",
    ]


# --- words ---


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1.0, "0 s"),
        (0.0, "0 s"),
        (0.25, "0.25 s"),
        (0.4, "0.4 s"),
        (0.999, "1 s"),
        (3.46, "3.5 s"),
        (9.96, "10 s"),
        (12.3, "12 s"),
        (59.7, "1 min"),
        (200.0, "3 min 20 s"),
        (7500.0, "2 h 5 min"),
        (200000.0, "2 d 7 h"),
    ],
)
def test_a_duration_is_said_as_one_would_say_it(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@settings(max_examples=100, deadline=None)
@given(HISTORIES, st.booleans(), st.sampled_from([None, 0, -254]))
def test_no_history_leaves_nothing_to_say(
    history: list[tuple[float, Event]], sends: bool, lever: int | None
) -> None:
    driven = Driven(health_check=CHECKED, lever_holds=lever, sends=sends).as_backup()
    at = 1.0
    for pause, event in history:
        at += pause
        driven.wait_until(at).feed(event)
        sentences = said(driven, after=0.01)
        assert sentences
        assert all(s.endswith(".") and "inf" not in s and "None" not in s for s in sentences)
        if driven.router.uplinks_down:
            assert sentences[0].startswith("Its uplink eth-ovl is down")
        elif driven.router.election.phase is Phase.RESIGNING and driven.router.instances:
            assert any("has been resigning" in s for s in sentences)
