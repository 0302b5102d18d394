"""What `havrrpd lab verify` makes of what it has seen: pure, and so its verdicts can be trusted."""

from __future__ import annotations

import pytest

from havrrpd.lab.verify.holders import Change, Spell, shared
from havrrpd.lab.verify.traffic import Reply, longest_gap, lost
from havrrpd.lab.waiting import LabError


def changes(*seen: tuple[float, str, bool]) -> list[Change]:
    return [Change(at, node, "r", "203.0.113.21", present) for at, node, present in seen]


def replies(*seen: tuple[float, int]) -> list[Reply]:
    return [Reply(at, number) for at, number in seen]


# --- addresses that more than one node holds ---


def test_an_address_that_moves_is_never_shared() -> None:
    moved = changes((0.0, "a", True), (5.0, "a", False), (5.1, "b", True))
    assert list(shared(moved, 9.0)) == []


def test_an_address_is_shared_from_the_second_holder_on_until_one_is_left() -> None:
    both = changes((0.0, "a", True), (5.0, "b", True), (5.25, "a", False))
    assert list(shared(both, 9.0)) == [Spell("r", "203.0.113.21", 5.0, 0.25, ("a", "b"))]


def test_a_spell_that_has_not_ended_counts_up_to_now() -> None:
    both = changes((0.0, "a", True), (5.0, "b", True))
    assert list(shared(both, 9.0)) == [Spell("r", "203.0.113.21", 5.0, 4.0, ("a", "b"))]


def test_all_that_held_it_in_a_spell_are_named() -> None:
    three = changes(
        (0.0, "a", True), (1.0, "b", True), (2.0, "a", False), (1.5, "c", True), (3.0, "b", False)
    )
    assert list(shared(three, 9.0)) == [Spell("r", "203.0.113.21", 1.0, 2.0, ("a", "b", "c"))]


def test_the_same_news_twice_are_no_second_holder() -> None:
    assert list(shared(changes((0.0, "a", True), (1.0, "a", True)), 9.0)) == []


def test_two_addresses_are_not_one() -> None:
    other = Change(1.0, "b", "r", "169.254.0.1", present=True)
    assert list(shared([*changes((0.0, "a", True)), other], 9.0)) == []


# --- traffic ---


def test_the_longest_gap_begins_with_the_last_reply_before_the_break() -> None:
    seen = replies((1.0, 1), (7.0, 2), (7.5, 3), (9.5, 4), (9.75, 5))
    assert longest_gap(seen, since=7.25) == 2.0
    assert longest_gap(seen, since=6.0) == 6.0


def test_a_break_that_nothing_followed_has_no_end() -> None:
    assert longest_gap(replies((1.0, 1), (2.0, 2)), since=3.0) == float("inf")


def test_what_did_not_come_back_is_counted_by_its_number() -> None:
    seen = replies((1.0, 1), (1.1, 3), (2.0, 4), (2.2, 7), (2.1, 6))
    assert lost(seen, since=1.5) == 1  # from 3 on, the last before: 5 is missing


def test_without_any_reply_nothing_is_said() -> None:
    with pytest.raises(LabError, match="no reply has come at all"):
        lost([], since=0.0)
    with pytest.raises(LabError, match="no reply has come at all"):
        longest_gap([], since=0.0)
