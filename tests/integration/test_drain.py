"""A node is drained and comes back: real keepalived, and the commands that an operator gives."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from havrrpd.lab.waiting import LabError, wait_until
from havrrpd.levers import track_file
from tests.integration.watched import Watched, watched

pytestmark = pytest.mark.root

QUICK = """
[election]
max_dwell = 1.0

[[router]]
match = "*"
interval = 0.5
timeout = 0.4
retry_interval = 0.2
"""
LAST_RESORT = -149  # the standing of a drained node: priority 150 becomes 1
TAKEOVER = 10.0
TURNS = "havrrpd_election_turns_total"
A_STALL = 1  # turn: the tried are one point ahead, 2 ms here, and a busy machine can lose them


@contextmanager
def quick(nodes: int = 2, **options: Any) -> Iterator[Watched]:
    with watched(nodes, QUICK, version=3, advert_int=0.5, **options) as seen:
        yield seen


def command(seen: Watched, node: str, *words: str) -> tuple[int, str]:
    """The exit code and all that was said."""
    script = f"{sys.executable} -m havrrpd {' '.join(words)} 2>&1 && code=0 || code=$?; echo $code"
    *said, code = seen.lab.node(node).shell(script).splitlines()
    return int(code), "\n".join(said)


def drained_with(seen: Watched, node: str) -> str:
    """Drain and wait, which succeeds; returns what was said."""
    code, said = command(seen, node, "drain", "--wait")
    assert code == 0, said
    return said


def standing(seen: Watched, node: str, router: int = 1) -> int | None:
    lever = f"/run/havrrpd/levers/{seen.lab.routers[router - 1].id}"
    return track_file.read(seen.lab.node(node).path(lever))


def wait_for_holder(seen: Watched, *among: str) -> str:
    def holder() -> str | None:
        holders = seen.lab.holders()
        if len(holders) == 1 and holders[0] in among:
            return holders[0]
        raise LabError(f"the address is on {holders}")

    return wait_until(holder, TAKEOVER, f"MASTER is one of {among}") or ""


def test_a_drained_node_gives_every_router_away_and_gets_none_back_by_itself() -> None:
    with quick(routers=2) as seen:
        seen.reachable()
        wait_until(lambda: seen.lab.holders(2), 10.0, "a MASTER of the second router")
        first, second = seen.lab.names
        drained_with(seen, second)
        assert [seen.lab.holders(1), seen.lab.holders(2)] == [[first], [first]]

        code, said = command(seen, second, "undrain")
        assert (code, said) == (0, "no longer draining")
        wait_until(lambda: (standing(seen, second) or 0) > -100, 5.0, "it takes part again")
        seen.reachable()
        assert [seen.lab.holders(1), seen.lab.holders(2)] == [[first], [first]]

        said = drained_with(seen, first)
        assert [seen.lab.holders(1), seen.lab.holders(2)] == [[second], [second]]
        assert said.startswith("drained: no router is MASTER here, after ")
        for number in (1, 2):
            assert seen.router(first, number)["election"]["phase"] == "drained"
            assert standing(seen, first, number) == LAST_RESORT


def test_draining_a_node_that_is_not_master_only_lowers_its_priority() -> None:
    with quick() as seen:
        master = seen.reachable()
        backup = seen.other(master)
        before = seen.instance(backup)["transitions"]
        drained_with(seen, backup)
        wait_until(lambda: standing(seen, backup) == LAST_RESORT, 5.0, "the last resort")
        assert seen.lab.node(backup).status()["draining"]
        assert seen.instance(backup)["transitions"] == before
        assert seen.lab.holders() == [master]


def test_a_drain_outlives_the_end_and_the_death_of_havrrpd() -> None:
    with quick() as seen:
        drained = seen.reachable()
        master = seen.other(drained)
        drained_with(seen, drained)
        for end in (seen.lab.stop_havrrpd, seen.lab.kill_havrrpd):
            end(drained)
            assert standing(seen, drained) == LAST_RESORT
            seen.lab.start_havrrpd(drained)
            wait_until(
                lambda: seen.router(drained)["election"]["phase"] == "drained", 10.0, "drained"
            )
            assert seen.lab.node(drained).status()["draining"]
            assert standing(seen, drained) == LAST_RESORT
            assert seen.lab.holders() == [master]
            assert seen.router(drained)["election"]["turns"] == 0


def test_a_drained_node_is_the_last_resort_until_another_can_serve() -> None:
    with quick() as seen:
        drained = seen.reachable()
        other = seen.other(drained)
        drained_with(seen, drained)
        seen.lab.stop_keepalived(other)
        seen.wait_cause(drained, "MASTER", "peer_resigned")
        shown = seen.lab.node(drained).status()
        assert shown["draining"]
        assert shown["routers"][0]["election"]["phase"] == "drained"
        assert seen.instance(drained)["effective_priority"] == 1
        seen.wait_problem(other, "keepalived_down")

        code, said = command(seen, drained, "drain", "--wait")
        router = seen.lab.routers[0].id
        assert said == f"draining, but still MASTER here: nobody took over {router}"
        assert code == 1
        assert seen.lab.holders() == [drained]

        seen.lab.start_keepalived(other)
        seen.wait_state(other, "BACKUP")
        drained_with(seen, drained)
        assert seen.lab.holders() == [other]


def test_a_drain_without_a_lever_says_that_nothing_moves() -> None:
    with quick(lever=False) as seen:
        master = seen.reachable()
        code, said = command(seen, master, "drain", "--wait")
        router = seen.lab.routers[0].id
        assert said == (
            f"draining, but still MASTER here: {router} can't be moved, havrrpd explain says why"
        )
        assert code == 1
        seen.wait_problem(master, "lever_missing")
        assert seen.lab.holders() == [master]


def test_of_two_drained_nodes_one_serves_when_the_third_is_gone() -> None:
    with quick(nodes=3) as seen:
        first = seen.reachable()
        drained_with(seen, first)
        second = wait_for_holder(seen, *(set(seen.lab.names) - {first}))
        drained_with(seen, second)
        third = seen.other(first, second)
        assert seen.lab.holders() == [third]
        seen.lab.stop_keepalived(third)
        last = wait_for_holder(seen, first, second)
        seen.wait_state(last, "MASTER")
        seen.lab.start_keepalived(third)
        seen.wait_state(third, "BACKUP")
        drained_with(seen, last)
        assert seen.lab.holders() == [third]


def test_a_node_drained_in_an_outage_gets_no_more_turns() -> None:
    with quick(nodes=3) as seen:
        drained = seen.reachable()
        seen.lab.break_gateway()
        seen.wait_problem(drained, "gateway_unreachable")
        drained_with(seen, drained)
        others = sorted(set(seen.lab.names) - {drained})
        before = {node: seen.router(node)["election"]["turns"] for node in others}

        def three_more() -> bool:
            turns = {node: seen.router(node)["election"]["turns"] for node in others}
            if all(turns[node] >= before[node] + 3 for node in others):
                return True
            raise LabError(f"turns: {before}, now {turns}")

        own = seen.metric(drained, TURNS)
        wait_until(three_more, 60.0, "three more turns of each other node")
        assert seen.metric(drained, TURNS) - own <= A_STALL


def test_a_drain_joins_a_resignation_that_has_begun() -> None:
    with quick() as seen:
        drained = seen.reachable()
        other = seen.other(drained)
        seen.lab.stop_keepalived(other)  # so that the resignation lasts
        seen.lab.break_gateway(drained)
        wait_until(
            lambda: seen.router(drained)["election"]["phase"] == "resigning", 10.0, "resigning"
        )
        seen.havrrpd(drained, "drain")
        assert seen.lab.node(drained).status()["draining"]
        seen.lab.start_keepalived(other)
        drained_with(seen, drained)
        assert seen.lab.holders() == [other]
        wait_until(lambda: standing(seen, drained) == LAST_RESORT, 5.0, "the last resort")
        assert seen.router(drained)["election"]["phase"] == "drained"
