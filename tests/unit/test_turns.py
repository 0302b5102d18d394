"""The adverts of one router as turns: what `make round-robin` and the tests of turns rest on."""

from __future__ import annotations

from havrrpd.lab.turns import Turn, counts, rounds, turns, unfairness
from havrrpd.lab.wire import Sent


def sent(*adverts: tuple[float, str, int]) -> list[Sent]:
    return [Sent(at, node, 1, priority) for at, node, priority in adverts]


def turn(node: str) -> Turn:
    return Turn(node, 0.0, None, frozenset(), 0.0)


def test_a_turn_goes_from_the_first_advert_to_the_resignation() -> None:
    wire = sent((0.0, "a", 50), (1.0, "a", 50), (1.5, "a", 0), (1.5, "a", 0), (2.25, "b", 40))
    assert turns(wire) == [
        Turn("a", 0.0, None, frozenset(), 0.0),
        Turn("b", 2.25, 0.75, frozenset(), 0.0),
    ]


def test_of_two_masters_the_turn_is_of_the_one_that_is_left_whichever_came_first() -> None:
    wire = sent((0.0, "a", 0), (1.0, "b", 9), (1.25, "c", 9), (1.5, "b", 9), (2.0, "b", 0))
    assert turns(wire) == [Turn("b", 1.0, 1.0, frozenset({"c"}), 0.25)]
    wire = sent((0.0, "a", 0), (1.0, "b", 9), (1.25, "c", 9), (1.5, "c", 9), (2.0, "c", 0))
    assert turns(wire) == [Turn("c", 1.25, 1.25, frozenset({"b"}), 0.0)]


def test_a_node_that_has_no_turn_counts_as_none() -> None:
    assert counts([turn("a"), turn("b"), turn("a")], "abc") == {"a": 2, "b": 1, "c": 0}


def test_unfairness_is_looked_at_after_full_rounds_only_and_the_worst_one_counts() -> None:
    assert unfairness([turn(node) for node in "abcabcab"], "abc") == 0
    assert unfairness([turn(node) for node in "abaccbabc"], "abc") == 2
    assert unfairness([], "abc") == 0


def test_rounds_are_full_ones() -> None:
    assert list(rounds([turn(node) for node in "abcca"], 3)) == [["a", "b", "c"]]
