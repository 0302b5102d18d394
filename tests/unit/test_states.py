"""How the witnesses of an instance make its state, its problems and the causes of its moves."""

from ipaddress import ip_interface

import pytest
from msgspec.structs import replace

from havrrpd.core.messages import (
    AddressAdded,
    AddressRemoved,
    AdvertHeard,
    DeadlinePassed,
    KeepalivedReloaded,
    KeepalivedStarted,
    KernelListed,
    LinkChanged,
    LinkRemoved,
    NotifyWatched,
    ReportTransition,
    StateNotified,
)
from havrrpd.core.model import Cause, Problem, State, Word
from tests.support import CONFIG, EXCLUDED, INSTANCE, PLAIN, Driven, configured


def moved(old: State, new: State, cause: Cause) -> ReportTransition:
    return ReportTransition("VR_1", old, new, cause)


def test_nothing_is_claimed_before_the_kernel_was_listed() -> None:
    driven = Driven().feed(KeepalivedStarted(7, None, CONFIG, 900.0))
    assert driven.instance.state is State.INIT
    assert driven.transitions == []


def test_a_router_found_with_its_addresses_is_master_without_any_notification() -> None:
    held = frozenset((v.interface, v.address) for v in (PLAIN, EXCLUDED))
    driven = Driven().feed(
        KeepalivedStarted(7, None, CONFIG, 900.0), KernelListed({"ha-1": True}, held)
    )
    assert driven.transitions == [moved(State.INIT, State.MASTER, Cause.STARTED)]


def test_witnesses_that_agree_are_believed_at_once() -> None:
    driven = Driven().as_backup().hear(0).promote()
    assert driven.transitions == [moved(State.BACKUP, State.MASTER, Cause.PEER_RESIGNED)]
    assert driven.instance.problems == frozenset()


def test_the_kernel_alone_is_believed_after_settle_with_a_problem() -> None:
    driven = Driven().as_backup().feed(*Driven.adding(), at=1.0)
    assert driven.instance.state is State.BACKUP
    driven.wait_until(1.24)
    assert driven.instance.state is State.BACKUP
    driven.wait_until(1.25)
    assert driven.instance.state is State.MASTER
    driven.wait_until(1.6)
    assert Problem.WITNESSES_DISAGREE in driven.instance.problems


def test_a_notification_alone_never_makes_a_master() -> None:
    driven = Driven().as_backup().feed(StateNotified("VR_1", Word.MASTER, 150), at=1.0)
    driven.wait_until(1.5)
    assert driven.instance.state is State.BACKUP
    assert Problem.WITNESSES_DISAGREE in driven.instance.problems


def test_a_notification_about_another_instance_changes_nothing() -> None:
    driven = Driven().as_backup().feed(StateNotified("VR_2", Word.MASTER, 150))
    assert driven.instance.word is Word.BACKUP


def test_a_lost_tie_is_two_transitions() -> None:
    driven = Driven().as_backup().hear(0).promote()
    driven.hear(150).feed(*Driven.removing(), StateNotified("VR_1", Word.BACKUP, 150))
    assert driven.transitions == [moved(State.MASTER, State.BACKUP, Cause.PREEMPTED)]


def test_a_master_whose_peer_fell_silent_says_so() -> None:
    driven = Driven().as_backup()
    driven.feed(DeadlinePassed(), at=3.5).promote()
    assert driven.transitions == [moved(State.BACKUP, State.MASTER, Cause.PEER_SILENT)]


def test_a_router_that_preempts_a_lower_master_says_so() -> None:
    driven = Driven(configured(replace(INSTANCE, preempt=True))).as_backup()
    driven.hear(100, at=1.0).promote()
    assert driven.transitions == [moved(State.BACKUP, State.MASTER, Cause.PREEMPTED)]


def test_a_keepalived_that_just_started_becomes_master_because_it_started() -> None:
    driven = Driven().feed(
        KeepalivedStarted(7, None, CONFIG, 999.0), KernelListed({"ha-1": True}, frozenset())
    )
    driven.feed(NotifyWatched(True), at=3.0).promote()
    assert driven.transitions == [moved(State.BACKUP, State.MASTER, Cause.STARTED)]


def test_a_master_that_was_there_when_keepalived_started_and_falls_silent_is_the_cause() -> None:
    driven = Driven().as_backup().hear(150, at=0.0).die(at=0.3)
    driven.feed(KeepalivedStarted(8, None, CONFIG, 1000.4), at=0.5)
    driven.feed(at=4.1).promote()
    assert driven.transitions == [moved(State.BACKUP, State.MASTER, Cause.PEER_SILENT)]


def test_a_master_that_was_silent_before_keepalived_started_is_not() -> None:
    driven = Driven().as_backup().hear(150, at=0.0).die(at=10.0)
    driven.feed(KeepalivedStarted(8, None, CONFIG, 1010.1), at=10.2)
    driven.feed(at=13.8).promote()
    assert driven.transitions == [moved(State.BACKUP, State.MASTER, Cause.STARTED)]


@pytest.mark.parametrize("event", [LinkChanged("ha-1", False), LinkRemoved("ha-1")])
def test_a_link_that_goes_down_is_a_fault_caused_by_it(event: LinkChanged | LinkRemoved) -> None:
    driven = Driven().as_master().feed(event).fault()
    assert driven.instance.state is State.FAULT
    assert driven.instance.last_transition is not None
    assert driven.instance.last_transition.cause is Cause.LINK_DOWN


def test_the_end_of_a_fault_has_the_cause_of_the_fault() -> None:
    driven = Driven().as_master().feed(LinkChanged("ha-1", False)).fault()
    driven.feed(LinkChanged("ha-1", True), StateNotified("VR_1", Word.BACKUP, 150), at=60.0)
    assert driven.transitions == [moved(State.FAULT, State.BACKUP, Cause.LINK_DOWN)]


def test_a_virtual_address_taken_away_is_the_cause_of_what_follows() -> None:
    driven = Driven().as_master()
    driven.feed(*Driven.removing(), StateNotified("VR_1", Word.BACKUP, 150), at=20.0)
    assert driven.transitions == [moved(State.MASTER, State.BACKUP, Cause.ADDRESS_REMOVED)]


def test_an_interface_that_lost_its_own_address_is_a_fault_caused_by_that() -> None:
    own = AddressAdded("ha-1", ip_interface("169.254.192.1/18"))
    gone = AddressRemoved("ha-1", ip_interface("169.254.192.1/18"))
    driven = Driven().as_backup().feed(own)
    driven.feed(gone, StateNotified("VR_1", Word.FAULT, 150), at=20.0)
    assert driven.transitions == [moved(State.BACKUP, State.FAULT, Cause.ADDRESS_REMOVED)]


def test_a_fault_in_which_only_virtual_addresses_went_is_not_caused_by_that() -> None:
    own = AddressAdded("ha-1", ip_interface("169.254.192.1/18"))
    driven = Driven().as_master().feed(own).fault()
    assert driven.transitions == [moved(State.MASTER, State.FAULT, Cause.UNKNOWN)]


def test_a_master_that_keepalived_does_not_accept_is_not_preempted_under_nopreempt() -> None:
    driven = Driven().as_backup()
    driven.hear(100, at=1.0).promote()
    assert driven.transitions == [moved(State.BACKUP, State.MASTER, Cause.UNKNOWN)]


def test_a_killed_keepalived_leaves_orphaned_addresses() -> None:
    driven = Driven().as_master().die(at=20.0)
    assert driven.transitions == [moved(State.MASTER, State.STOPPED, Cause.KEEPALIVED_DIED)]
    assert driven.router.problems == {Problem.KEEPALIVED_DOWN}
    driven.wait_until(20.3)
    assert driven.instance.problems == {Problem.ADDRESSES_ORPHANED}
    driven.feed(*Driven.removing())
    assert driven.instance.problems == frozenset()


def test_a_keepalived_that_said_stop_was_stopped() -> None:
    driven = Driven().as_master()
    driven.feed(*Driven.removing(), StateNotified("VR_1", Word.STOP, 0)).die()
    assert driven.instance.last_transition is not None
    assert driven.instance.last_transition.cause is Cause.KEEPALIVED_STOPPED
    assert driven.instance.problems == frozenset()


def test_a_keepalived_that_resigned_on_the_wire_was_stopped() -> None:
    driven = Driven().as_master().feed(NotifyWatched(False)).send(0).die()
    assert driven.instance.last_transition is not None
    assert driven.instance.last_transition.cause is Cause.KEEPALIVED_STOPPED


def test_a_restarted_keepalived_is_not_master_for_the_addresses_of_the_dead_one() -> None:
    driven = Driven().as_master().die(at=20.0)
    driven.feed(KeepalivedStarted(8, "qrouter-r1", CONFIG, 1022.0), at=22.0)
    assert driven.router.state is State.STOPPED
    driven.feed(*Driven.removing(), at=22.1)
    assert driven.transitions[-1] == moved(State.STOPPED, State.BACKUP, Cause.STARTED)


def test_the_death_of_an_older_process_is_not_that_of_the_present_one() -> None:
    driven = Driven().as_master()
    driven.feed(KeepalivedStarted(8, None, CONFIG, 1000.0)).die()
    assert driven.router.pid == 8


def test_missing_addresses_are_a_problem_of_a_master_after_settle() -> None:
    driven = Driven().as_master().send(at=20.0)
    driven.feed(AddressRemoved(EXCLUDED.interface, EXCLUDED.address))
    assert driven.instance.problems == frozenset()
    driven.wait_until(20.25)
    assert driven.reported == [(Problem.ADDRESSES_MISSING, True)]
    assert driven.instance.state is State.MASTER


def test_a_master_that_sends_nothing_for_three_intervals_is_hung() -> None:
    driven = Driven().as_master().send(at=5.0).wait_until(7.9)
    assert Problem.ADVERTS_STOPPED not in driven.instance.problems
    driven.wait_until(8.0)
    assert driven.reported == [(Problem.ADVERTS_STOPPED, True)]
    driven.send(at=9.0)
    assert driven.reported == [(Problem.ADVERTS_STOPPED, False)]


def test_another_master_for_more_than_two_intervals_is_a_duplicate() -> None:
    driven = Driven().as_master()
    for second in (1.0, 2.0, 3.0):
        driven.hear(150, at=second).send()
        assert Problem.DUPLICATE_MASTER not in driven.instance.problems
    driven.hear(150, at=3.1)
    assert driven.reported == [(Problem.DUPLICATE_MASTER, True)]
    driven.send(at=5.0).wait_until(7.5)
    assert (Problem.DUPLICATE_MASTER, False) in driven.reported


def test_a_backup_that_hears_nobody_says_so_a_second_after_active_down() -> None:
    driven = Driven().as_backup()
    limit = INSTANCE.active_down_interval + 1.0
    driven.wait_until(limit - 0.01)
    assert Problem.NO_MASTER_HEARD not in driven.instance.problems
    driven.wait_until(limit)
    assert driven.reported == [(Problem.NO_MASTER_HEARD, True)]
    driven.hear(150, at=limit + 1)
    assert driven.reported == [(Problem.NO_MASTER_HEARD, False)]


def test_adverts_of_another_vrid_or_address_family_are_not_ours() -> None:
    driven = Driven().as_backup()
    heard = driven.instance.adverts_heard
    advert = AdvertHeard("ha-1", 2, driven.instance.masters[0].address, 150, 1.0)
    driven.feed(advert, replace(advert, vrid=1, interface="ha-2"))
    assert driven.instance.adverts_heard == heard


def test_a_reload_keeps_what_is_known_of_the_same_instance_and_forgets_a_renamed_one() -> None:
    driven = Driven().as_master()
    driven.feed(KeepalivedReloaded(configured(replace(INSTANCE, priority=140))))
    assert driven.instance.state is State.MASTER
    assert driven.transitions == []
    driven.feed(KeepalivedReloaded(configured(replace(INSTANCE, name="VR_9"))))
    assert driven.instance.config.name == "VR_9"
    assert driven.instance.state is State.MASTER  # the kernel says so
    assert driven.instance.word is None


def test_a_lost_fifo_takes_its_last_word_along() -> None:
    driven = Driven().as_backup().feed(StateNotified("VR_1", Word.FAULT, 150), at=1.0)
    assert driven.instance.state is State.FAULT
    driven.feed(NotifyWatched(False))
    assert driven.instance.state is State.BACKUP
    assert driven.instance.problems == frozenset()


def test_what_a_respawned_keepalived_said_before_it_was_found_stays() -> None:
    driven = Driven().as_backup().die(at=5.0)
    driven.feed(StateNotified("VR_1", Word.FAULT, 150), at=5.1)
    driven.feed(KeepalivedStarted(8, "qrouter-r1", CONFIG, 1005.05), at=5.2)
    assert driven.instance.state is State.FAULT
    driven.feed(KeepalivedStarted(9, "qrouter-r1", CONFIG, 1006.0), at=6.1)
    assert driven.instance.word is None


def test_what_a_new_listing_lacks_is_evidence() -> None:
    driven = Driven().as_master()
    driven.feed(KernelListed({"ha-1": False}, frozenset()), StateNotified("VR_1", Word.FAULT, 0))
    assert driven.transitions == [moved(State.MASTER, State.FAULT, Cause.LINK_DOWN)]


def test_transitions_are_counted_by_state_and_cause() -> None:
    driven = Driven().as_master()
    assert driven.instance.transitions == (
        (State.BACKUP, Cause.STARTED, 1),
        (State.MASTER, Cause.PEER_RESIGNED, 1),
    )
