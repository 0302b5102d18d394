"""The order of turns with real keepalived: fair in a full outage, short when one gateway is left,
and spread over the survivors when a node with many routers dies.

Who is MASTER, and when, is read from the adverts on the wire, not from what havrrpd says.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest

from havrrpd.lab.lab import Lab
from havrrpd.lab.turns import rounds
from havrrpd.lab.waiting import LabError, wait_until
from havrrpd.lab.wire import Wire
from tests.bench import outage
from tests.bench.outage import Outage

pytestmark = pytest.mark.root

ADVERT_INT = 1.0
DELAY = 0.002
QUICK: dict[str, Any] = {
    "advert_int": ADVERT_INT,
    "delay": DELAY,
    "health_interval": outage.HEALTH_INTERVAL,
    "health_check": outage.HEALTH_CHECK,
    "havrrpd_config": outage.HAVRRPD_CONFIG,
    "keep_logs": True,
}
WATCHED = 5.0  # seconds in which nothing may move: more than three turns
ROUTERS = 60
MANY_LIMIT = 90.0


def masters(wire: Wire) -> dict[int, str]:
    """The MASTER of each router by its VRID; LabError as long as one has none, or two."""
    recent = wire.adverts(since=time.time() - 2.5 * ADVERT_INT)
    senders = {(sent.vrid, sent.node) for sent in recent if sent.priority > 0}
    found = dict(senders)
    if len(senders) != ROUTERS or len(found) != ROUTERS:
        raise LabError(f"{len(found)} of {ROUTERS} routers have a MASTER, {len(senders)} masters")
    return found


def without(dead: str, found: dict[int, str]) -> dict[int, str]:
    if dead in found.values():
        raise LabError(f"{dead} was heard a moment ago")
    return found


def all_found(lab: Lab) -> bool:
    """Whether every node's havrrpd knows the state of every router, and so has its standing."""
    return all(
        Counter(r["state"] in ("MASTER", "BACKUP") for r in lab.node(n).status()["routers"])
        == {True: ROUTERS}
        for n in lab.names
    )


def test_in_a_full_outage_each_node_has_one_turn_a_round_until_a_gateway_returns() -> None:
    with Lab(base_priority=50, **QUICK) as lab, Wire(lab) as wire:
        outage.steady(lab)
        running = Outage(lab, wire)
        taken = running.wait_turns(9)
        returned = running.gateway_returns(WATCHED)
        contested = max(turn.contested for turn in running.turns())
    assert [sorted(nodes) for nodes in rounds(taken, 3)] == [sorted(lab.names)] * 3, taken
    assert contested < 2 * ADVERT_INT
    assert returned.turns_before is not None
    assert returned.turns_before <= 2
    assert returned.kept
    assert returned.moved == 0


def test_a_node_that_alone_lost_its_gateway_hands_over_to_one_that_keeps_the_role() -> None:
    with Lab(**QUICK) as lab, Wire(lab) as wire:
        cut_off = outage.steady(lab)
        running = Outage(lab, wire, cut_off)
        running.wait_turns(1)
        new = outage.steady(lab)
        nodes = [turn.node for turn in running.turns()]
        assert nodes[0] == cut_off
        assert nodes[-1] == new != cut_off
        assert len(nodes) <= 3  # it is there at the first or the second turn of others


def deaf(lab: Lab) -> list[str]:
    """The logs of keepalived processes that do not see their lever."""
    logs = lab.logs.glob("*-keepalived-*.log")
    return [log.name for log in logs if "Unable to monitor track files" in log.read_text()]


def test_the_routers_of_a_dead_node_are_spread_over_the_survivors() -> None:
    """50:50 within 20 %: each survivor gets 30 to 70 % of them.

    A keepalived with a lever takes one of root's fs.inotify.max_user_instances, 128 on most hosts,
    which the nodes of a lab share as they never do in the field. So the node that dies has none.
    """
    dies = "network1"
    options: dict[str, Any] = {"advert_int": ADVERT_INT, "unlevered": [dies], "keep_logs": True}
    with Lab(routers=ROUTERS, **options) as lab, Wire(lab) as wire:
        wait_until(lambda: all_found(lab), MANY_LIMIT, "every router found on every node")
        assert deaf(lab) == [], "fs.inotify.max_user_instances is too low for 120 keepaliveds"
        before = wait_until(lambda: masters(wire), MANY_LIMIT, "one MASTER for every router")
        lost = [vrid for vrid, node in before.items() if node == dies]
        lab.kill_node(dies)
        after = wait_until(
            lambda: without(dies, masters(wire)), MANY_LIMIT, "one MASTER for every router again"
        )
    shares = Counter(after[vrid] for vrid in lost)
    assert len(lost) >= ROUTERS / 3
    assert len(shares) == 2
    assert all(0.3 * len(lost) <= share <= 0.7 * len(lost) for share in shares.values()), shares
