"""When a router resigns, what is written to its lever, and when the round begins anew."""

from ipaddress import IPv4Address

import pytest
from msgspec.structs import replace

from havrrpd.core.lever import find_lever
from havrrpd.core.messages import (
    AdvertHeard,
    DeadlinePassed,
    DrainChanged,
    FailoverRequested,
    KeepalivedReloaded,
    KeepalivedStarted,
    KernelListed,
    ReportResignation,
    SettingsChanged,
    StandingFailed,
    StateNotified,
    Stopping,
    WireWatched,
    WriteStanding,
)
from havrrpd.core.model import (
    Cause,
    InstanceConfig,
    KeepalivedConfig,
    Phase,
    Problem,
    Router,
    Settings,
    State,
    TrackFile,
    Word,
)
from havrrpd.core.observe import observe
from havrrpd.core.priority import rank, standing
from havrrpd.core.resigning import refusal
from havrrpd.core.rounds import dwell
from tests.support import (
    CHECKED,
    CONFIG,
    EXCLUDED,
    INSTANCE,
    LEVER,
    PLAIN,
    Driven,
    configured,
)
from tests.unit.test_gateways import missed, reply

PREEMPTING = configured(replace(INSTANCE, preempt=True))


def lose_gateway(driven: Driven, at: float) -> Driven:
    for sent in (at, at + 0.5, at + 1.0):
        driven.feed(missed(sent), at=sent + 1.0)
    return driven


def outage(driven: Driven) -> Driven:
    return lose_gateway(driven.as_master(), 0.0)


def untried(driven: Driven) -> int:
    return standing(driven.router, tried=False, draining=False)


def tried(driven: Driven) -> int:
    return standing(driven.router, tried=True, draining=False)


@pytest.mark.parametrize("base", [34, 50, 100, 150, 254])
def test_the_standings_keep_untried_tried_and_drained_nodes_apart(base: int) -> None:
    for node in range(50):
        router = Router("r1", Settings(f"network{node}"))
        config = configured(replace(INSTANCE, priority=base))
        router = observe(router, KeepalivedReloaded(config), 0.0)
        low = base + standing(router, tried=True, draining=False)
        high = base + standing(router, tried=False, draining=False)
        assert 2 <= low <= 16
        assert 16 < high <= base
        assert base + standing(router, tried=True, draining=True) == 1


def test_the_rank_differs_by_node_and_is_zero_with_preemption() -> None:
    routers = [
        observe(Router("r1", Settings(f"network{n}")), KeepalivedReloaded(CONFIG), 0.0)
        for n in range(20)
    ]
    assert len({rank(router) for router in routers}) == 20
    assert rank(observe(routers[0], KeepalivedReloaded(PREEMPTING), 0.0)) == 0


def test_a_base_priority_without_room_is_never_lowered() -> None:
    driven = Driven(configured(replace(INSTANCE, priority=33))).as_backup()
    assert (untried(driven), tried(driven)) == (0, 0)


def test_the_standing_is_written_once_what_the_lever_holds_is_known() -> None:
    driven = Driven().as_backup()
    assert driven.lever == untried(driven)
    assert driven.feed(StateNotified("VR_1", Word.BACKUP, 150)).written == []


def test_a_lever_left_at_fault_by_a_crash_is_put_right_at_start() -> None:
    driven = Driven(lever_holds=-254).as_backup()
    assert driven.lever == untried(driven)
    assert Driven(lever_holds=-254, observe_only=True).as_backup().lever == 0


def test_a_lever_that_holds_the_tried_standing_is_remembered() -> None:
    known = tried(Driven().as_backup())
    assert Driven(lever_holds=known).as_backup().router.election.tried


def test_observe_only_writes_nothing_else() -> None:
    driven = Driven(lever_holds=-7, observe_only=True, health_check=CHECKED, sends=True)
    outage(driven)
    assert driven.lever == -7
    assert Problem.LEVER_MISSING not in driven.router.problems
    assert Problem.GATEWAY_UNREACHABLE in driven.router.problems


def test_lost_gateways_make_the_master_resign() -> None:
    driven = outage(Driven(health_check=CHECKED, sends=True))
    assert ReportResignation(Cause.GATEWAY_LOST) in driven.actions
    assert WriteStanding(LEVER, -254) in driven.actions
    assert driven.router.election.phase is Phase.RESIGNING
    driven.fault()
    assert driven.transitions[0].cause is Cause.GATEWAY_LOST


def test_the_standing_follows_only_when_another_master_was_heard() -> None:
    driven = outage(Driven(health_check=CHECKED, sends=True)).fault()
    assert driven.lever == -254
    driven.hear(140, at=2.6)
    assert driven.lever == tried(driven)
    assert driven.router.election.phase is Phase.STEADY


def test_another_master_heard_while_this_one_still_serves_does_not_end_the_resignation() -> None:
    driven = outage(Driven(health_check=CHECKED, sends=True)).hear(140, at=2.01)
    assert driven.lever == -254


def test_without_a_successor_the_standing_is_written_after_the_release_timeout() -> None:
    driven = outage(Driven(health_check=CHECKED, sends=True)).fault()
    due = 2.0 + INSTANCE.active_down_interval + 1.0
    driven.wait_until(due - 0.01)
    assert driven.lever == -254
    driven.wait_until(due)
    assert driven.lever == tried(driven)
    assert driven.router.election.phase is Phase.ALONE


def test_a_node_alone_tries_again_with_a_doubling_dwell() -> None:
    driven = outage(Driven(health_check=CHECKED, sends=True)).fault().wait_until(7.0)
    gaps = []
    for start in (20.0, 100.0, 200.0):
        driven.feed(StateNotified("VR_1", Word.BACKUP, 10), at=start)
        driven.promote().send()
        lose_gateway(driven, start)
        due = driven.router.election.retry_due
        assert due is not None
        gaps.append(due - 1000.0 - start)
        assert driven.router.election.phase is Phase.ALONE
        driven.wait_until(start + gaps[-1])
        assert driven.lever == -254
        driven.fault().wait_until(start + gaps[-1] + 6.0)
    assert gaps == [4.0, 8.0, 16.0]


def test_the_dwell_never_passes_max_dwell() -> None:
    router = Driven(health_check=CHECKED, sends=True).as_master().router
    assert [dwell(router, n) for n in (0, 1, 7, 8, 5000)] == [2.0, 4.0, 256.0, 300.0, 300.0]


def test_a_master_heard_in_the_tried_range_begins_a_new_round() -> None:
    driven = outage(Driven(health_check=CHECKED, sends=True)).fault().hear(140, at=2.6)
    assert driven.router.election.tried
    driven.hear(0, at=6.0).hear(16, at=6.1)
    assert not driven.router.election.tried
    assert driven.lever == untried(driven)
    assert driven.router.election.turns == 1  # the outage goes on


def test_the_tried_master_itself_keeps_its_flag() -> None:
    driven = outage(Driven(health_check=CHECKED, sends=True)).fault().hear(140, at=2.6)
    driven.hear(0, at=6.0).feed(StateNotified("VR_1", Word.BACKUP, 10)).promote()
    driven.send(10)
    assert driven.router.election.tried


def test_a_tried_node_comes_first_when_it_has_waited_longest() -> None:
    driven = outage(Driven(health_check=CHECKED, sends=True)).fault().hear(140, at=2.6)
    effective = [150 + (driven.lever or 0)]
    for turn in range(1, 10):
        driven.hear(0, at=3.0 * turn).hear(60 + turn, at=3.0 * turn + 0.6)
        effective.append(150 + (driven.lever or 0))
    assert effective == [4, 9, 12, 14, 15, 16, 16, 16, 16, 16]


def test_how_long_it_waited_is_read_from_the_lever_after_a_restart() -> None:
    election = Driven(lever_holds=-136).as_backup().router.election
    assert (election.tried, election.waited) == (True, 3 + 1)  # and it hears a MASTER


@pytest.mark.parametrize("taken", range(101, 151))
def test_an_untried_node_leaves_a_priority_that_a_master_has(taken: int) -> None:
    driven = Driven().as_backup().hear(taken)
    left = 150 + (driven.lever or 0)
    assert abs(left - taken) >= 2
    assert 150 - 49 < left <= 150
    assert driven.hear(taken).written == []


@pytest.mark.parametrize(("base", "again"), [(34, 30), (50, 46), (100, 88), (150, 134)])
def test_in_the_next_round_a_node_keeps_the_place_that_it_waited_for(base: int, again: int) -> None:
    config = configured(replace(INSTANCE, priority=base))
    driven = outage(Driven(config, CHECKED, sends=True)).fault().hear(30, at=2.6)
    driven.hear(0, at=4.0).hear(30, at=4.9)
    assert base + (driven.lever or 0) == 9
    driven.hear(0, at=6.0).hear(15, at=6.9)  # and a new round
    assert not driven.router.election.tried
    assert driven.router.election.waited == 2
    assert base + (driven.lever or 0) == again


def test_the_loser_of_a_tie_counts_the_turn_of_the_winner() -> None:
    driven = outage(Driven(health_check=CHECKED, sends=True)).fault().hear(140, at=2.6)
    driven.hear(0, at=4.0).feed(StateNotified("VR_1", Word.BACKUP, 10)).promote().hear(140, at=4.6)
    assert driven.router.election.waited == 0
    driven.feed(*driven.removing(), StateNotified("VR_1", Word.BACKUP, 10))
    assert driven.router.election.waited == 1


def test_two_masters_for_a_moment_are_one_turn() -> None:
    driven = outage(Driven(health_check=CHECKED, sends=True)).fault().hear(140, at=2.6)
    other = AdvertHeard("ha-1", 1, IPv4Address("169.254.192.9"), 140, 1.0)
    driven.hear(0, at=4.0).hear(140, at=4.9).feed(other)
    assert driven.router.election.waited == 1


def test_an_untried_node_keeps_away_from_every_master_it_heard() -> None:
    driven = Driven(configured(replace(INSTANCE, priority=50))).as_backup()
    others = (50, 46, 41)
    for last, priority in enumerate(others):
        source = IPv4Address(f"169.254.192.{100 + last}")
        driven.feed(AdvertHeard("ha-1", 1, source, priority, 1.0))
    assert min(abs(50 + (driven.lever or 0) - priority) for priority in others) >= 4


def test_where_preemption_sets_the_order_no_priority_is_left() -> None:
    driven = Driven(PREEMPTING).as_backup().hear(150).hear(100)
    assert driven.lever == 0


def test_a_master_that_lasts_ends_the_outage_for_a_backup() -> None:
    driven = outage(Driven(health_check=CHECKED, sends=True)).fault()
    longest_turn = 8.0 + 1.0  # the third of an outage, and an advert_int
    for second in range(3, 13):
        driven.hear(140, at=second)
        assert driven.router.election.tried
    driven.hear(140, at=3.1 + longest_turn)
    assert not driven.router.election.tried
    assert driven.router.election.turns == 0


def test_a_master_may_dwell_as_long_as_others_did_before_the_outage_counts_as_over() -> None:
    driven = outage(Driven(health_check=CHECKED, sends=True)).fault()
    for second in range(3, 12):  # turns of others can be longer than the own ones
        driven.hear(140, at=second)
    driven.hear(0, at=11.5)
    assert driven.router.election.longest_heard == pytest.approx(8.5)
    for second in range(13, 30):
        driven.hear(130, at=second)
        assert driven.router.election.tried
    driven.hear(130, at=13 + 17 + 1 + 0.1)
    assert not driven.router.election.tried
    assert driven.router.election.longest_heard == 0.0


@pytest.mark.parametrize(("heard_for", "remembered"), [(300.1, 300.1), (301.5, 0.0)])
def test_a_turn_is_heard_a_little_longer_than_it_lasts(heard_for: float, remembered: float) -> None:
    driven = outage(Driven(health_check=CHECKED, sends=True)).fault()
    driven.hear(140, at=3.0)
    for second in range(4, 4 + int(heard_for)):
        driven.hear(140, at=float(second))
    driven.hear(0, at=3.0 + heard_for)
    assert driven.router.election.longest_heard == pytest.approx(remembered)


def test_a_master_whose_gateways_answer_rise_times_is_untried_again() -> None:
    driven = Driven(
        health_check=CHECKED, sends=True, lever_holds=tried(Driven().as_backup())
    ).as_master()
    assert driven.router.election.tried
    driven.feed(reply(0.0), at=0.1)
    assert driven.router.election.tried
    driven.feed(reply(1.0), at=1.1)
    assert not driven.router.election.tried
    assert driven.lever == untried(driven)


def test_with_preemption_a_tried_node_waits_out_its_dwell() -> None:
    driven = outage(Driven(PREEMPTING, CHECKED, sends=True)).fault().hear(100, at=2.6)
    assert driven.lever == -146
    driven.hear(10, at=3.0)
    assert driven.lever == -146
    driven.hear(10, at=6.1)
    assert driven.lever == 0


def test_with_preemption_an_operators_failover_counts_as_tried_until_the_dwell_is_over() -> None:
    driven = Driven(PREEMPTING).as_master().feed(FailoverRequested()).fault().hear(100, at=0.7)
    assert driven.lever == -146
    driven.hear(100, at=1.9)
    assert driven.lever == -146


def test_a_node_that_cannot_preempt_is_untried_as_soon_as_the_outage_is_over() -> None:
    driven = outage(Driven(PREEMPTING, CHECKED, sends=True)).fault()
    for second in range(3, 14):
        driven.hear(200, at=second)
    assert not driven.router.election.tried
    assert driven.router.election.turns == 0
    assert driven.lever == 0


def test_an_operator_moves_a_router_and_its_priority_stays() -> None:
    driven = Driven().as_master().feed(FailoverRequested())
    assert driven.lever == -254
    driven.fault().hear(140, at=0.7)
    assert driven.lever == untried(driven)
    assert driven.router.election.resignations == ((Cause.FAILOVER_REQUESTED, 1),)


def test_a_failover_is_refused_with_the_reason() -> None:
    assert "not MASTER" in str(refusal(Driven().as_backup().router))
    assert "observe_only" in str(refusal(Driven(observe_only=True).as_master().router))
    bare = replace(CONFIG, track_files=())
    assert "lever_missing" in str(refusal(Driven(bare).as_master().router))
    assert refusal(Driven().as_master().router) is None
    driven = Driven().as_backup().feed(FailoverRequested())
    assert driven.actions == []


def test_a_drained_node_resigns_and_becomes_the_last_resort() -> None:
    driven = Driven().as_master().feed(DrainChanged(True))
    assert driven.lever == -254
    driven.fault().hear(140, at=0.7)
    assert driven.lever == -149
    assert driven.router.election.phase is Phase.DRAINED
    assert driven.transitions == []
    driven.feed(DrainChanged(False))
    assert driven.lever == untried(driven)
    assert driven.router.election.phase is Phase.STEADY


def test_a_drain_is_carried_out_as_soon_as_it_can_be_and_once() -> None:
    restarted = Driven().feed(DrainChanged(True)).as_master()
    assert restarted.router.election.phase is Phase.DRAINED
    assert restarted.written == []  # it was BACKUP before: now it is the last resort
    assert restarted.lever == -149
    found = Driven(lever_holds=-149).feed(DrainChanged(True))
    held = frozenset((v.interface, v.address) for v in (PLAIN, EXCLUDED))
    links = {"ha-1": True, "qg-1": True}
    found.feed(KeepalivedStarted(7, None, CONFIG, 900.0), KernelListed(links, held))
    assert found.lever == -254
    bare = Driven(replace(CONFIG, track_files=())).as_master().feed(DrainChanged(True))
    assert Problem.LEVER_MISSING in bare.router.problems
    bare.feed(KeepalivedReloaded(CONFIG))
    assert bare.lever == -254


def test_a_drained_backup_that_hears_no_master_any_more_gives_the_role_up_once_it_has_it() -> None:
    """The MASTER died just then, and a third node may be about to start."""
    driven = Driven().as_backup().feed(DrainChanged(True)).hear(0).promote()
    assert driven.lever == -254
    driven.fault().promote()
    assert driven.lever == -254  # until somebody is heard, or release_timeout
    driven.fault().hear(140, at=0.7)
    assert driven.lever == -149


def test_an_advert_that_comes_after_the_last_instance_is_gone_is_nobodys_turn() -> None:
    driven = outage(Driven(health_check=CHECKED, sends=True)).fault()
    driven.feed(KeepalivedReloaded(replace(CONFIG, instances=()))).hear(140, at=3.0)
    assert driven.router.election.waited == 0


def test_a_lever_that_is_no_longer_loaded_is_not_left_at_fault() -> None:
    driven = outage(Driven(health_check=CHECKED, sends=True)).fault()
    driven.feed(KeepalivedReloaded(replace(CONFIG, track_files=())))
    assert driven.lever == 0
    assert driven.router.election.phase is not Phase.RESIGNING


@pytest.mark.parametrize("state", ["resigning", "dwelling"])
def test_once_it_stops_nothing_new_is_begun(state: str) -> None:
    driven = outage(Driven(health_check=CHECKED, sends=True))
    if state == "dwelling":
        driven.fault().wait_until(8.0)
        driven.feed(StateNotified("VR_1", Word.BACKUP, 10), at=20.0).promote()
        lose_gateway(driven, 20.0)
        driven.now += 60.0
    driven.feed(Stopping(), StateNotified("VR_1", Word.MASTER, 10), DeadlinePassed())
    assert driven.lever is not None
    assert driven.lever > -254


def test_no_deadline_of_the_election_outlives_its_reason() -> None:
    driven = outage(Driven(health_check=CHECKED, sends=True)).fault().wait_until(8.0)
    driven.feed(StateNotified("VR_1", Word.BACKUP, 10), at=20.0).promote()
    lose_gateway(driven, 20.0)
    assert driven.router.election.retry_due is not None
    driven.feed(SettingsChanged(replace(driven.router.settings, observe_only=True)))
    driven.wait_until(60.0)
    driven.feed(StandingFailed(LEVER, 0, "read-only file system"))
    driven.feed(KeepalivedReloaded(replace(CONFIG, track_files=())))
    driven.wait_until(90.0)


def test_a_preempting_node_ends_a_bad_turn_at_once() -> None:
    driven = outage(Driven(PREEMPTING, CHECKED, sends=True)).fault()
    for second in range(3, 15):
        driven.hear(100, at=second)
    driven.promote()
    lose_gateway(driven, 15.0)
    assert driven.lever == -254


def test_a_preempting_node_that_was_elected_as_tried_stays_for_its_dwell() -> None:
    driven = outage(Driven(PREEMPTING, CHECKED, sends=True)).fault().hear(100, at=2.6)
    driven.hear(0, at=4.0).promote()
    lose_gateway(driven, 4.0)
    assert driven.router.election.phase is Phase.DWELLING
    driven.wait_until(8.0)
    assert driven.lever == -254


def test_a_node_that_is_deaf_does_not_resign_for_a_gateway() -> None:
    driven = Driven(health_check=CHECKED, sends=True).as_master().feed(WireWatched(False))
    lose_gateway(driven, 0.0)
    assert driven.lever == untried(driven)
    assert Problem.GATEWAY_UNREACHABLE in driven.router.problems


def test_a_lever_without_effect_is_a_problem_and_is_not_pulled_all_the_time() -> None:
    driven = outage(Driven(health_check=CHECKED, sends=True))
    release = 2.0 + INSTANCE.active_down_interval + 1.0
    driven.wait_until(release)
    assert driven.router.state is State.MASTER
    assert Problem.LEVER_MISSING in driven.router.problems
    assert driven.router.election.retry_due == pytest.approx(1000.0 + release + 4.0)
    driven.wait_until(release + 4.0).fault()
    assert Problem.LEVER_MISSING not in driven.router.problems


def test_a_lever_that_cannot_be_written_is_a_problem() -> None:
    driven = Driven().as_backup().feed(StandingFailed(LEVER, 0, "No such file or directory"))
    assert Problem.LEVER_MISSING in driven.router.problems


def test_forged_masters_do_not_pile_up() -> None:
    driven = Driven().as_backup()
    for last in range(200):
        driven.feed(AdvertHeard("ha-1", 1, IPv4Address(f"169.254.1.{last}"), 150, 255.0))
    assert len(driven.instance.masters) == 16


def test_a_reschedule_without_a_lever_is_a_problem() -> None:
    bare = replace(CONFIG, track_files=())
    driven = outage(Driven(bare, CHECKED, sends=True))
    assert Problem.LEVER_MISSING in driven.router.problems
    assert driven.written == []


@pytest.mark.parametrize("end", ["stopping", "dead", "observe_only"])
def test_a_resignation_is_never_left_half_done(end: str) -> None:
    driven = outage(Driven(health_check=CHECKED, sends=True)).fault()
    match end:
        case "stopping":
            driven.feed(Stopping())
        case "dead":
            driven.die()
        case _:
            settings = replace(driven.router.settings, observe_only=True)
            driven.feed(SettingsChanged(settings))
    assert driven.lever is not None
    assert driven.lever > -254
    assert driven.router.election.phase is not Phase.RESIGNING


def test_a_failed_write_is_tried_again_a_second_later() -> None:
    driven = Driven().as_backup()
    driven.feed(StandingFailed(LEVER, untried(driven), "No space left on device"), at=1.0)
    driven.wait_until(1.9)
    assert driven.written == []
    driven.wait_until(2.0)
    assert driven.written == [untried(driven)]


def test_the_lever_is_ours_by_its_place_or_name_and_weight_one_in_every_instance() -> None:
    def loaded(name: str, path: str, weight: int | None, *more: InstanceConfig) -> KeepalivedConfig:
        first = replace(INSTANCE, track_files=((name, weight),))
        return KeepalivedConfig((first, *more), track_files=(TrackFile(name, path, 1),))

    def lever(config: KeepalivedConfig) -> str | None:
        return find_lever("r1", config, "/run/havrrpd/levers")

    assert lever(loaded("any", "/run/havrrpd/levers/r1", None)) == "/run/havrrpd/levers/r1"
    assert lever(loaded("havrrpd", "/elsewhere/r1", 1)) == "/elsewhere/r1"
    assert lever(loaded("maintenance", "/etc/down", 1)) is None
    assert lever(loaded("havrrpd", "/elsewhere/r1", 10)) is None
    assert lever(configured(replace(INSTANCE, priority=255))) is None
    assert lever(loaded("havrrpd", "/e/r1", 1, replace(INSTANCE, name="B", track_files=()))) is None


def test_the_state_of_a_router_is_the_worst_of_its_instances() -> None:
    second = replace(INSTANCE, name="VR_2", vrid=2, interface="ha-2", virtual_addresses=())
    driven = Driven(replace(CONFIG, instances=(INSTANCE, second))).as_master()
    assert driven.router.state is State.FAULT
