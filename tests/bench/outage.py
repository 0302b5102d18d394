"""One outage on a lab, with real keepalived: every gateway is lost, then one returns, then all."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial

from havrrpd.lab.lab import Lab
from havrrpd.lab.turns import Turn, counts, turns
from havrrpd.lab.waiting import LabError, wait_until
from havrrpd.lab.wire import Sent, Wire

# Turns without gateways end quickly and none lasts longer than the one before: what is measured
# is the order of the turns, not their length.
HEALTH_INTERVAL = 0.5
HEALTH_CHECK = {"timeout": 0.2, "retry_interval": 0.1, "fall": 2, "rise": 2}
TIME_TO_LOSE = 0.3
MAX_DWELL = 0.3
HAVRRPD_CONFIG = f"[election]\nmax_dwell = {MAX_DWELL}\n"

CONTEST_LIMIT = 1.5  # seconds; the longest that was seen is 0.6
STEADY_LIMIT = 30.0
TURN_LIMIT = 20.0  # seconds; with a check script a turn takes about 5


@dataclass(frozen=True, slots=True)
class Returned:
    """After one gateway returned: how many turns of others until its node was MASTER, if ever.

    `kept`: nobody else had a turn from then on. `moved`: turns after the other gateways returned.
    """

    node: str
    turns_before: int | None
    kept: bool = False
    moved: int = 0


def steady(lab: Lab) -> str:
    """Wait until one node is MASTER and every havrrpd that runs knows it; returns the MASTER."""
    return wait_until(lambda: _known_master(lab), STEADY_LIMIT, "one MASTER with its gateways")


class Outage:
    """Begins with the constructor: for one node, or for all."""

    def __init__(self, lab: Lab, wire: Wire, node: str | None = None) -> None:
        self._lab, self._wire = lab, wire
        lab.break_gateway(node)
        self.began = time.time()

    def adverts(self) -> list[Sent]:
        """Since the outage began, and the last one before: it tells whose turn that was."""
        adverts = self._wire.adverts()
        before = [sent for sent in adverts if sent.at < self.began]
        return adverts[len(before[:-1]) :]

    def turns(self) -> list[Turn]:
        return turns(self.adverts())

    def wait_turns(self, count: int) -> list[Turn]:
        """The first `count` turns, as soon as they have ended: only then it is clear whose."""
        for number in range(1, count + 1):
            wait_until(partial(self._has_ended, number), TURN_LIMIT, f"the end of turn {number}")
        return self.turns()[:count]

    def gateway_returns(self, watched: float) -> Returned:
        """The gateway returns for one node that is not MASTER, and later for all the others.

        Watches both repairs for so many seconds each.
        """
        for name in self._lab.names:
            self._lab.break_gateway(name)
        self._lab.heal_gateway()  # it is there again, and every cable to it is out
        node = self._who_waits_longest()
        self._lab.heal_gateway(node)
        returned = time.time()
        most = 5 * len(self._lab.names)

        def over() -> bool:
            settled = [turn for turn in self._turns_after(returned) if self._is_settled(turn)]
            return any(turn.node == node for turn in settled) or len(settled) > most

        wait_until(over, STEADY_LIMIT + most * TURN_LIMIT, f"a turn of {node}")
        time.sleep(watched)  # the measurement itself: a stretch in which nothing should happen
        after = self._nodes_after(returned)
        if node not in after:
            return Returned(node, None)
        before = after.index(node)
        healed = time.time()
        for name in self._lab.names:
            self._lab.heal_gateway(name)
        time.sleep(watched)
        return Returned(node, before, after[before:] == [node], len(self._nodes_after(healed)))

    def _who_waits_longest(self) -> str:
        """As a turn begins: a node that had fewer turns than others, or whose turn just ended."""
        while True:
            ended = self.wait_turns(len(self.turns()))
            present = self.turns()[-1]
            had = counts(ended, self._lab.names)
            fewest = min(had, key=had.__getitem__)
            starved = max(had.values()) - had[fewest] > 1
            chosen = fewest if starved else ended[-1].node
            if chosen not in (present.node, *present.others):
                return chosen

    def _has_ended(self, number: int) -> bool:
        return len(self.turns()) > number

    def _nodes_after(self, at: float) -> list[str]:
        return [turn.node for turn in self._turns_after(at)]

    def _turns_after(self, at: float) -> list[Turn]:
        return [turn for turn in self.turns() if turn.begins > at]

    def _is_settled(self, turn: Turn) -> bool:
        """Whether another node that became MASTER too would have given way by now."""
        return turn.begins < time.time() - CONTEST_LIMIT


def _known_master(lab: Lab) -> str | None:
    holders = lab.holders()
    if len(holders) != 1:
        raise LabError(f"the addresses are on {holders or 'no node'}")
    (master,) = holders
    known = all(_knows(lab, name, name == master) for name in lab.havrrpd)
    return master if known else None


def _knows(lab: Lab, name: str, is_master: bool) -> bool:
    """Whether the node's havrrpd has found the router, and as MASTER its gateways."""
    routers = lab.node(name).status()["routers"]
    if not routers:
        return False
    state, connectivity = routers[0]["state"], routers[0]["connectivity"]
    return bool(
        (state, connectivity) == ("MASTER", "reachable") if is_master else state == "BACKUP"
    )
