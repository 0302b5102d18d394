"""The six promises of the design, watched after every call of the agenda.

Some hold at any time (one MASTER, never none). The others speak of what must follow while nothing
else happens: each `disturbed` begins their count anew. `calm` tells what may be expected: after
nothing but changed gateways everything at once, after crashes, stalls and losses once they were
forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from havrrpd.core.model import Cause
from havrrpd.core.priority import TRIED
from tests.simulation.keepalived import FAULT
from tests.simulation.world import RESTART, Node, World

A_POINT = 1 / 256  # of a priority, seconds of Skew_Time with an advert_int of 1 s
TIE = 0.1  # seconds in which the loser of a tie has seen that it lost


class InvariantBrokenError(Exception):
    """Names the invariant, the moment and what was seen."""

    def __init__(self, invariant: str, at: float, seen: str) -> None:
        super().__init__(invariant, at, seen)
        self.invariant, self.at, self.seen = invariant, at, seen

    def __str__(self) -> str:
        return f"{self.invariant} broken at {self.at:.3f} s: {self.seen}"


@dataclass(slots=True)
class Turn:
    """One spell as MASTER."""

    node: Node
    began: float
    tried: bool  # at a priority of the tried: it begins a round


@dataclass(slots=True)
class Calm:
    """What happened since the last disturbance.

    `strict`: nothing but gateways ever changed. `fresh`: and no turn had failed before.
    """

    since: float
    strict: bool
    fresh: bool
    turns: list[Turn] = field(default_factory=list)
    failed: list[tuple[float, Node]] = field(default_factory=list)  # resignations for a gateway
    served: list[float] = field(default_factory=list)  # before each of them, seconds

    def failed_nodes(self) -> list[Node]:
        """Each once."""
        return list(dict.fromkeys(node for _, node in self.failed))

    def gaps(self, node: Node) -> list[float]:
        """From one failed turn of a node to the next, seconds."""
        times = [at for at, of in self.failed if of is node]
        return [later - earlier for earlier, later in pairwise(times)]


class Invariants:
    """Watches a world; raises InvariantBrokenError."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.blips = 0  # elections that made two masters for a moment
        self.turns = 0
        self._strict, self._fresh = True, True
        self._calm = Calm(0.0, strict=True, fresh=True)
        self._masters: tuple[Node, ...] = ()
        self._given_up: set[Node] = set()  # drained nodes whose one move is done, or was not needed
        self._two_since: float | None = None
        self._none_since = 0.0
        world.watch.resigned = self._resigned
        world.watch.checked = self._checked
        world.watch.disturbed = self.disturbed

    def disturbed(self, *, gateways_only: bool = False) -> None:
        """Something was done to the world."""
        self._strict = self._strict and gateways_only and not self.world.scenario.loss
        self._fresh = self._fresh and not self._calm.failed
        self._calm = Calm(self.world.agenda.now, self._strict, self._strict and self._fresh)
        self._two_since = None
        self._none_since = self.world.agenda.now

    # --- what is seen ---

    def _checked(self) -> None:
        masters = tuple(node for node in self.world.nodes if node.is_master)
        if masters != self._masters:
            self._changed(masters)
        self._drained(masters)
        self._one_master()
        self._some_master()
        self._everyone_in_time()

    def _changed(self, masters: tuple[Node, ...]) -> None:
        now = self.world.agenda.now
        for node in masters:
            if node not in self._masters:
                assert node.keepalived is not None
                tried = node.keepalived.priority in TRIED
                self._began(Turn(node, now, tried))
        for node in self._masters:
            if node not in masters:
                self._ended(node)
        if len(masters) > 1 and len(self._masters) == 1:
            self.blips += 1
        self._stays_put(masters)
        self._masters = masters
        self._none_since = now

    def _began(self, turn: Turn) -> None:
        self.turns += 1
        self._calm.turns.append(turn)
        self._last_resort(turn.node)

    def _ended(self, node: Node) -> None:
        """The loser of a tie had no turn."""
        turns = self._calm.turns
        last = next((turn for turn in reversed(turns) if turn.node is node), None)
        if last and self.world.agenda.now - last.began < TIE:
            turns.remove(last)
            self.turns -= 1

    def _resigned(self, node: Node, cause: Cause) -> None:
        if cause is Cause.DRAINED:
            self._given_up.add(node)
        if cause is not Cause.GATEWAY_LOST:
            return
        now, calm = self.world.agenda.now, self._calm
        calm.failed.append((now, node))
        began = next((turn.began for turn in reversed(calm.turns) if turn.node is node), None)
        calm.served += [] if began is None else [now - began]
        self._gateway_found(node)
        self._one_turn_a_round()
        self._ever_rarer(node)

    # --- (1) ---

    def _one_master(self) -> None:
        limit, now = 3 * self.world.scenario.advert_int + 1.0, self.world.agenda.now
        together = self._together(self._masters)
        if len(together) < 2:
            self._two_since = None
        elif self._two_since is None:
            self._two_since = now
        elif now - self._two_since > limit:
            self._broken("1 one master", f"{[node.name for node in together]} for {limit} s")

    # --- (2) ---

    def _gateway_found(self, node: Node) -> None:
        """While some node reaches its gateways, one that does is MASTER within nodes - 1 turns."""
        able = self._able()
        good = [other for other in able if other.gateway]
        if not good or self.world.scenario.preempt or not self._one_group(able):
            return
        if any(other.draining for other in able):
            return
        limit = len(able) - 1 if self._calm.strict else 2 * len(able)
        failed = [n for at, n in self._calm.failed if at > self._calm.since + self._known_after()]
        if len(failed) > limit:
            names = [other.name for other in failed]
            self._broken("2 gateway found", f"turns of {names}, {[o.name for o in good]} is good")
        if node.gateway and self.world.agenda.now > self._calm.since + self._known_after():
            self._broken("5 stays put", f"{node.name} resigned, and it reaches its gateway")

    # --- (3) ---

    def ended(self) -> None:
        """At the end of a long calm: nothing is left of an outage that is over."""
        able, scenario = self._able(), self.world.scenario
        long_enough = self.world.agenda.now - self._calm.since > self._forgotten_after()
        if not long_enough or len(able) < 2 or scenario.loss or not self._one_group(able):
            return
        if not all(node.gateway for node in able):
            return
        for node in able:
            assert node.daemon is not None
            assert node.lever is not None
            election = node.daemon.router.election
            if election.tried or election.turns:
                seen = f"{node.name} is tried {election.tried}, turns {election.turns}"
                self._broken("5 an outage ends", seen)
            if node.lever <= FAULT:
                self._broken("6 some master", f"the lever of {node.name} holds {node.lever}")
            others_fit = any(not other.draining for other in able)
            if node.draining and node.is_master and others_fit and node not in self._given_up:
                self._broken("5 drained", f"{node.name} is MASTER, and never gave the role up")

    def _one_turn_a_round(self) -> None:
        """In a full outage every living node has one turn a round."""
        able = self._able()
        if any(node.gateway or node.draining for node in able) or self.world.scenario.preempt:
            return
        if self.world.scenario.loss or not self._one_group(able):
            return
        settled = self._calm.turns[0 if self._calm.fresh else 2 * len(able) :]
        for got in _rounds(settled):
            names = [node.name for node in got]
            if len(set(names)) < len(names):
                self._broken("3 one turn a round", f"{names} of {[n.name for n in able]}")
        finished = _rounds(settled)[:-1]
        for got in finished:
            if len(got) != len(able):
                names = [node.name for node in got]
                self._broken("3 one turn a round", f"{names} of {[n.name for n in able]}")
        quiet = self.world.scenario.jitter <= A_POINT / 2 and self.world.scenario.advert_int >= 1.0
        if self._calm.fresh and quiet and not self.blips:
            for earlier, later in pairwise(finished):
                if earlier != later:
                    orders = [[node.name for node in got] for got in (earlier, later)]
                    self._broken("3 one order", f"{orders[0]}, then {orders[1]}")

    def _everyone_in_time(self) -> None:
        """(2) and (3) once more, for a node that keeps the role instead of failing its turn."""
        able, now, scenario = self._able(), self.world.agenda.now, self.world.scenario
        a_turn = scenario.max_dwell + 2 * self._known_after() + 2 * scenario.advert_int
        limit = (1 if self._calm.strict else 2) * (len(able) + 1) * a_turn
        if now - self._calm.since < limit or scenario.preempt or scenario.loss:
            return
        if any(node.draining for node in able) or not self._one_group(able):
            return
        good = [node for node in able if node.gateway]
        served = {turn.node for turn in self._calm.turns} | set(self._masters)
        if good and not any(node in good for node in self._masters):
            self._broken("2 gateway found", f"no {[n.name for n in good]} within {limit:.0f} s")
        if not good and len(able) > 1 and not served.issuperset(able):
            missed = [node.name for node in able if node not in served]
            self._broken("3 one turn a round", f"no turn of {missed} within {limit:.0f} s")

    # --- (4) ---

    def _ever_rarer(self, node: Node) -> None:
        """A node alone serves ever longer between its attempts; by preemption it returns later."""
        if self._able() == [node] == self._calm.failed_nodes():
            lengths = self._calm.served[1:]
        elif self.world.scenario.preempt:
            lengths = self._calm.gaps(node)
        else:
            return
        scenario = self.world.scenario
        for failed, length in enumerate(lengths, start=1):
            least = min(scenario.health_check.time_to_lose * 2**failed, scenario.max_dwell)
            if length < 0.95 * least:
                seen = f"{node.name}: {length:.1f} s after {failed} failed turns, not {least:.1f} s"
                self._broken("4 ever rarer", seen)

    # --- (5) ---

    def _stays_put(self, masters: tuple[Node, ...]) -> None:
        """A MASTER that reaches its gateway keeps the role while nothing else happens."""
        if self.world.scenario.preempt or not self._settled():
            return
        for node in self._masters:
            good = node.gateway and not node.draining and node in self._able()
            if good and len(self._masters) == 1 and node not in masters:
                self._broken("5 stays put", f"{node.name} is no longer MASTER")

    def _drained(self, masters: tuple[Node, ...]) -> None:
        """A drain is one move; a node is spared it where another one is MASTER."""
        for node in self.world.nodes:
            if not node.draining:
                self._given_up.discard(node)
            elif masters and node not in masters:
                self._given_up.add(node)

    def _last_resort(self, node: Node) -> None:
        """No drained node gets the role where another one stands for election."""
        calm, scenario = self._calm, self.world.scenario
        able = self._able()
        if not node.draining or scenario.loss or not self._one_group(able):
            return
        fit = [o.name for o in able if not o.draining and o.lever is not None and o.lever > FAULT]
        if fit and self.world.agenda.now > calm.since + self._elected_after():
            self._broken("5 last resort", f"{node.name} is MASTER, not {fit}")

    # --- (6) ---

    def _some_master(self) -> None:
        """A node that could serve is not left waiting for ever."""
        if self._masters:
            return
        limit = self._elected_after()
        if self.world.agenda.now - self._none_since > limit and self._able():
            self._broken("6 some master", f"none for {limit:.1f} s")

    # --- of nodes ---

    def _able(self) -> list[Node]:
        """Nodes that could be MASTER, and whose havrrpd can see to it."""
        return [
            node
            for node in self.world.nodes
            if node.alive and node.keepalived and node.daemon and node.link and node.uplink
        ]

    def _one_group(self, nodes: Iterable[Node]) -> bool:
        return not any(node.cut for node in nodes)

    def _together(self, masters: Iterable[Node]) -> list[Node]:
        """Those that run and hear each other, or know by a link that they hear nobody."""
        now = self.world.agenda.now
        running = [m for m in masters if m.link and not m.cut and m.stalled_until <= now]
        return [m for m in running if m.uplink or (m.daemon and m.daemon.stalled_until <= now)]

    def _elected_after(self) -> float:
        """When there is a MASTER at the latest, after anything that happened."""
        scenario = self.world.scenario
        longest = 3 * scenario.advert_int + max(1.0, scenario.advert_int)
        return 2 * longest + 1.0 + RESTART + 2.0

    def _known_after(self) -> float:
        """How long what was seen of a gateway before still counts."""
        check = self.world.scenario.health_check
        return check.interval + check.rise * check.retry_interval + check.timeout

    def _forgotten_after(self) -> float:
        """How long after the last repair nobody remembers an outage any more, at the latest.

        A MASTER is known to be well after twice the longest turn; before that each node may have
        one more turn.
        """
        scenario = self.world.scenario
        a_turn = scenario.max_dwell + self._known_after() + 4 * scenario.advert_int + 2.0
        return (len(self.world.nodes) + 3) * a_turn

    def _settled(self) -> bool:
        return self.world.agenda.now > self._calm.since + self._known_after() + 6.0

    def _broken(self, invariant: str, seen: str) -> None:
        raise InvariantBrokenError(invariant, self.world.agenda.now, seen)


def _rounds(turns: list[Turn]) -> list[list[Node]]:
    """The turns by round; what came before the first new round is left out."""
    rounds: list[list[Node]] = []
    for turn in turns:
        if turn.tried:
            rounds.append([])
        if rounds:
            rounds[-1].append(turn.node)
    return rounds
