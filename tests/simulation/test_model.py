"""The model of keepalived against real runs: recorded by `make round-robin`, adverts on the wire.

Same nodes, same outage: the turns must come in the same order, each after the same Skew_Time. A
turn that two nodes began (equal ranks, a late switch, a busy machine) depends on chance, and so
does what follows from it: each run is compared up to its first such turn, and not after it.
"""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from havrrpd.core.model import HealthCheck
from havrrpd.lab.turns import Turn, turns
from havrrpd.lab.wire import Sent
from tests.simulation.world import Scenario, World

RECORDED = sorted((Path(__file__).parent / "recorded").glob("*.json"))
LATE = 0.05  # seconds that a busy machine may be later than the model


@dataclass(frozen=True, slots=True)
class Record:
    """One real outage."""

    facts: dict[str, Any]

    @property
    def nodes(self) -> list[str]:
        return list(self.facts["nodes"])

    @property
    def adverts(self) -> list[Sent]:
        return [Sent(at, node, 1, priority) for at, node, priority in self.facts["adverts"]]

    @property
    def first_master(self) -> int:
        return self.nodes.index(self.adverts[0].node)

    @property
    def scenario(self) -> Scenario:
        facts = self.facts
        return Scenario(
            priorities=(facts["base_priority"],) * len(self.nodes),
            version=facts["version"],
            advert_int=facts["advert_int"],
            delay=facts["delay"] or 0.0001,
            health_check=HealthCheck(**facts["health_check"]),
            max_dwell=facts["max_dwell"],
            router=facts["router"],
        )


def simulated(record: Record, count: int) -> list[Turn]:
    """As many turns of the model, from the same MASTER on."""
    world = World(record.scenario)
    first = world.nodes[record.first_master]
    first.start()
    world.run(8.0)
    for node in world.nodes:
        node.start()
    world.run(8.0)
    for node in world.nodes:
        node.gateway = False
    before = len(world.adverts) - 1
    while len(turns(_sent(world, before))) <= count:
        world.run(1.0)
    return turns(_sent(world, before))[:count]


def undisturbed(record: Record) -> list[Turn]:
    """The turns before the first one that two nodes began; the last of the record did not end."""
    return list(takewhile(lambda turn: not turn.others, turns(record.adverts)[:-1]))


def _sent(world: World, before: int) -> list[Sent]:
    return [Sent(at, node, 1, priority) for at, node, priority in world.adverts[before:]]


def takeovers(taken: list[Turn]) -> list[float]:
    """Of all turns but the first, which began before the outage."""
    return [turn.takeover for turn in taken[1:] if turn.takeover is not None]


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_the_model_takes_turns_as_real_keepalived_did(path: Path) -> None:
    record = Record(json.loads(path.read_text()))
    real = undisturbed(record)
    model = simulated(record, len(real))
    assert [turn.node for turn in model] == [turn.node for turn in real]
    late = [r - m for r, m in zip(takeovers(real), takeovers(model), strict=True)]
    assert len(late) == len(real) - 1
    assert min(late, default=0.0) > -0.005
    assert statistics.median([0.0, *late]) < LATE
    assert max(late, default=0.0) < 10 * LATE


def test_more_than_a_third_of_all_recorded_turns_is_compared() -> None:
    compared = sum(len(undisturbed(record)) for record in _records())
    assert compared > sum(len(turns(record.adverts)) for record in _records()) / 3


def test_there_are_records_of_both_versions_and_sizes() -> None:
    shapes = {(len(r.nodes), r.facts["version"]) for r in _records()}
    assert {nodes for nodes, _ in shapes} == {3, 5}
    assert {version for _, version in shapes} == {2, 3}


def _records() -> list[Record]:
    return [Record(json.loads(path.read_text())) for path in RECORDED]
