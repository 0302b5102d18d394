"""An uplink of the node is down: which routers are told, and how each is held in FAULT for it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from havrrpd.core.messages import (
    DrainChanged,
    FailoverRequested,
    KeepalivedReloaded,
    KeepalivedStarted,
    KernelListed,
    LinkChanged,
    LinkRemoved,
    ReportProblem,
    ReportResignation,
    ReportTransition,
    SettingsChanged,
    StateNotified,
    Stopping,
    UplinksChanged,
    WriteStanding,
)
from havrrpd.core.model import Cause, Phase, Problem, State, Word
from havrrpd.core.resigning import refusal
from havrrpd.uplinks import Uplinks
from tests.support import CHECKED, CONFIG, INSTANCE, LEVER, Driven
from tests.unit.test_election import lose_gateway, outage, tried, untried

DOWN = UplinksChanged(frozenset({"eth-ovl"}))
UP = UplinksChanged(frozenset())
BARE = replace(CONFIG, track_files=())


def isolated(driven: Driven) -> Driven:
    """A MASTER that lost its uplink, and is in FAULT."""
    return driven.as_master().feed(DOWN).fault()


# --- in the election ---


def test_a_master_resigns_once_and_the_cause_is_the_link() -> None:
    driven = Driven().as_master().feed(DOWN)
    assert driven.actions == [ReportResignation(Cause.LINK_DOWN), WriteStanding(LEVER, -254)]
    assert driven.router.election.phase is Phase.RESIGNING
    driven.fault()
    assert driven.actions == [ReportTransition("VR_1", State.MASTER, State.FAULT, Cause.LINK_DOWN)]
    driven.feed(UplinksChanged(frozenset({"eth-ovl", "eth-prov"})))
    assert driven.actions == []
    assert driven.router.election.resignations == ((Cause.LINK_DOWN, 1),)


def test_a_backup_is_held_too_and_resigns_nothing() -> None:
    driven = Driven().as_backup().feed(DOWN)
    assert driven.actions == [WriteStanding(LEVER, -254)]
    driven.feed(StateNotified("VR_1", Word.FAULT, 150))
    assert driven.actions == [ReportTransition("VR_1", State.BACKUP, State.FAULT, Cause.LINK_DOWN)]
    assert driven.router.election.resignations == ()


def test_neither_time_nor_another_master_ends_it() -> None:
    driven = isolated(Driven()).hear(140, at=0.7).hear(140, at=5.0).wait_until(5000.0)
    assert driven.written == []
    assert driven.lever == -254
    assert driven.router.election.phase is Phase.RESIGNING
    assert driven.router.problems == frozenset()


def test_when_all_are_up_again_the_ordinary_standing_is_written() -> None:
    driven = isolated(Driven()).feed(UP, at=60.0)
    assert driven.actions == [WriteStanding(LEVER, untried(driven))]
    election = driven.router.election
    assert (election.phase, election.tried, election.turns) == (Phase.STEADY, False, 0)
    driven.feed(StateNotified("VR_1", Word.BACKUP, 150))
    assert driven.actions == [ReportTransition("VR_1", State.FAULT, State.BACKUP, Cause.LINK_DOWN)]


def test_a_link_that_comes_back_before_keepalived_said_anything_is_the_cause_all_the_same() -> None:
    driven = Driven().as_backup().feed(DOWN, UP)
    assert driven.written == [-254, untried(driven)]
    driven.feed(StateNotified("VR_1", Word.FAULT, 150), at=0.1)
    assert [transition.cause for transition in driven.transitions] == [Cause.LINK_DOWN]


def test_a_node_that_was_tried_is_held_and_comes_back_as_tried() -> None:
    driven = outage(Driven(health_check=CHECKED, sends=True)).fault().hear(140, at=2.6)
    turns = driven.router.election.turns
    driven.feed(DOWN, StateNotified("VR_1", Word.FAULT, 150), at=3.0).feed(UP, at=9.0)
    assert driven.actions == [WriteStanding(LEVER, tried(driven))]
    assert driven.router.election.turns == turns


def test_lost_gateways_of_a_master_that_is_held_are_no_failed_turn() -> None:
    driven = Driven(health_check=CHECKED, sends=True).as_master().feed(DOWN)
    lose_gateway(driven, 0.0)
    election = driven.router.election
    assert (election.tried, election.turns) == (False, 0)
    assert election.resignations == ((Cause.LINK_DOWN, 1),)


@pytest.mark.parametrize("asked_by", ["gateways", "operator", "drain"])
def test_a_resignation_under_way_becomes_one_that_lasts_and_is_counted_once(asked_by: str) -> None:
    driven = Driven(health_check=CHECKED, sends=True)
    match asked_by:
        case "gateways":
            outage(driven)
        case "operator":
            driven.as_master().feed(FailoverRequested())
        case _:
            driven.as_master().feed(DrainChanged(True))
    driven.feed(DOWN)
    assert driven.actions == []
    assert [count for _, count in driven.router.election.resignations] == [1]
    driven.fault().hear(140, at=2.7).wait_until(100.0)
    assert driven.lever == -254


def test_a_drain_does_not_end_it_and_holds_afterwards() -> None:
    driven = isolated(Driven()).feed(DrainChanged(True), at=1.0)
    assert driven.actions == []
    assert driven.router.election.phase is Phase.RESIGNING
    driven.wait_until(60.0).feed(UP)
    assert driven.actions == [WriteStanding(LEVER, -149)]
    assert driven.router.election.phase is Phase.DRAINED
    driven.feed(DOWN, DrainChanged(False), UP)
    assert driven.written == [-254, untried(driven)]
    assert driven.router.election.phase is Phase.STEADY


def test_a_failover_is_refused_and_does_not_end_it() -> None:
    driven = isolated(Driven())
    assert refusal(driven.router) == "this node is not MASTER of it, it is FAULT"
    driven.feed(FailoverRequested())
    assert driven.actions == []
    assert driven.lever == -254


def test_a_node_that_was_alone_is_held() -> None:
    driven = outage(Driven(health_check=CHECKED, sends=True)).fault().wait_until(8.0)
    assert driven.router.election.phase is Phase.ALONE
    driven.feed(DOWN)
    assert driven.written == [-254]
    driven.wait_until(60.0).feed(UP)
    assert driven.router.election.phase is Phase.STEADY


def test_a_keepalived_that_starts_again_starts_in_fault() -> None:
    driven = isolated(Driven()).die()
    assert driven.lever == -254
    driven.feed(KeepalivedStarted(8, "qrouter-r1", CONFIG, driven.now))
    assert driven.written == []
    assert driven.lever == -254


def test_a_lever_left_at_fault_by_a_crash_stays_there_while_the_uplink_is_down() -> None:
    driven = Driven(lever_holds=-254).feed(DOWN).as_backup()
    assert driven.written == []
    assert driven.lever == -254


def test_observe_only_writes_nothing() -> None:
    driven = Driven(observe_only=True).as_master().feed(DOWN)
    assert driven.actions == []
    assert driven.router.election.phase is Phase.STEADY
    held = isolated(Driven())
    held.feed(SettingsChanged(replace(held.router.settings, observe_only=True)))
    assert held.written == [0]


def test_without_a_lever_a_master_says_that_it_should_go() -> None:
    driven = Driven(BARE).as_master().feed(DOWN)
    assert driven.actions == [ReportProblem(None, Problem.LEVER_MISSING, True)]
    driven.feed(UP)
    assert driven.actions == [ReportProblem(None, Problem.LEVER_MISSING, False)]
    assert Driven(BARE).as_backup().feed(DOWN).actions == []


def test_a_lever_that_is_loaded_later_is_pulled_then() -> None:
    driven = Driven(BARE).as_master().feed(DOWN, KeepalivedReloaded(CONFIG))
    assert driven.written == [-254]
    driven.fault().feed(KeepalivedReloaded(BARE))
    assert driven.written == [0]
    assert driven.router.election.phase is Phase.STEADY


def test_a_keepalived_that_does_not_follow_its_lever_is_a_problem() -> None:
    driven = Driven().as_master().feed(DOWN)
    due = INSTANCE.active_down_interval + 1.0
    driven.wait_until(due - 0.01)
    assert driven.router.problems == frozenset()
    driven.wait_until(due)
    assert driven.router.problems == {Problem.LEVER_MISSING}
    assert driven.lever == -254


def test_when_havrrpd_stops_the_ordinary_standing_is_written_and_nothing_begins_anew() -> None:
    driven = isolated(Driven()).feed(Stopping())
    assert driven.actions == [WriteStanding(LEVER, untried(driven))]
    driven.feed(UP, DOWN)
    assert driven.actions == []


# --- from the node's links to the routers ---


class Told:
    """What came out of Uplinks."""

    def __init__(self) -> None:
        self.events: list[tuple[str, frozenset[str]]] = []
        self.watched: list[bool] = []
        self.uplinks = Uplinks(self._emit, self.watched.append)

    def _emit(self, router: str, event: UplinksChanged) -> None:
        self.events.append((router, event.down))

    def new(self) -> list[tuple[str, frozenset[str]]]:
        events, self.events = self.events, []
        return events


def listed(**links: bool) -> KernelListed:
    return KernelListed(links, frozenset())


def test_before_the_first_listing_nothing_is_down() -> None:
    told = Told()
    told.uplinks.name("a", ("eth0",))
    told.uplinks.heard(LinkChanged("eth0", False))
    assert told.new() == []


def test_an_uplink_that_is_down_or_missing_is_told_to_those_that_name_it() -> None:
    told = Told()
    told.uplinks.name("a", ("eth0", "eth1"))
    told.uplinks.name("b", ("eth1",))
    told.uplinks.heard(listed(eth0=False))
    assert told.new() == [("a", frozenset({"eth0", "eth1"})), ("b", frozenset({"eth1"}))]
    told.uplinks.heard(LinkChanged("eth1", True))
    assert told.new() == [("a", frozenset({"eth0"})), ("b", frozenset())]
    told.uplinks.heard(LinkRemoved("eth1"))
    assert told.new() == [("a", frozenset({"eth0", "eth1"})), ("b", frozenset({"eth1"}))]


def test_what_changes_nothing_is_not_told() -> None:
    told = Told()
    told.uplinks.name("a", ("eth0",))
    told.uplinks.heard(listed(eth0=True, eth1=True))
    told.uplinks.heard(LinkChanged("eth1", False))
    told.uplinks.heard(LinkChanged("eth0", True))
    told.uplinks.heard(listed(eth0=True))
    told.uplinks.name("a", ("eth0",))
    assert told.new() == []


def test_a_router_that_is_found_later_is_told_at_once() -> None:
    told = Told()
    told.uplinks.name("a", ("eth0",))
    told.uplinks.heard(listed(eth0=False))
    told.new()
    told.uplinks.name("b", ("eth0",))
    assert told.new() == [("b", frozenset({"eth0"}))]


def test_other_settings_are_other_uplinks() -> None:
    told = Told()
    told.uplinks.name("a", ("eth0",))
    told.uplinks.heard(listed(eth0=False, eth1=True))
    told.new()
    told.uplinks.name("a", ("eth1",))
    assert told.new() == [("a", frozenset())]
    told.uplinks.name("a", ("eth0", "eth1"))
    told.uplinks.name("a", ())
    assert told.new() == [("a", frozenset({"eth0"})), ("a", frozenset())]


def test_the_node_is_watched_while_a_router_names_an_uplink() -> None:
    told = Told()
    told.uplinks.name("a", ())
    assert told.watched == []
    told.uplinks.name("a", ("eth0",))
    told.uplinks.name("b", ("eth1",))
    told.uplinks.forget("a")
    assert told.watched == [True]
    told.uplinks.name("b", ())
    assert told.watched == [True, False]
    told.uplinks.name("b", ("eth1",))  # until it is listed again nothing is known
    assert told.watched == [True, False, True]
    assert told.new() == []


def test_a_router_that_is_gone_and_comes_again_is_told_again() -> None:
    told = Told()
    told.uplinks.name("a", ("eth0",))
    told.uplinks.name("b", ("eth0",))
    told.uplinks.heard(listed(eth0=False))
    told.uplinks.forget("a")
    told.new()
    told.uplinks.name("a", ("eth0",))
    assert told.new() == [("a", frozenset({"eth0"}))]
