"""The model of keepalived against real runs: recorded by `make round-robin`, adverts on the wire.

Same nodes, same outage: all turns must come in the same order, each after the same Skew_Time.
Which of two nodes with equal ranks comes first is chance, once: how late their timers were. The
model draws that from its seed, and one of a few seeds has to take every turn as the real nodes did.
"""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from havrrpd.core.model import HealthCheck
from havrrpd.lab.turns import Turn, turns
from havrrpd.lab.wire import Sent
from tests.simulation.world import Scenario, World

RECORDED = sorted((Path(__file__).parent / "recorded").glob("*.json"))
LATE = 0.05  # seconds that a busy machine may be later than the model
TURNS = 30
SEEDS = range(8)  # a tie of two is lost in all of them once in 256 records


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
    def turns(self) -> list[Turn]:
        """But for the last one, which had not ended."""
        return turns(self.adverts)[:-1]

    def scenario(self, seed: int) -> Scenario:
        facts = self.facts
        return Scenario(
            priorities=(facts["base_priority"],) * len(self.nodes),
            version=facts["version"],
            advert_int=facts["advert_int"],
            delay=facts["delay"] or 0.0001,
            health_check=HealthCheck(**facts["health_check"]),
            max_dwell=facts["max_dwell"],
            router=facts["router"],
            seed=seed,
        )


def simulated(record: Record, seed: int) -> list[Turn]:
    """As many turns of the model, from the same MASTER on."""
    count = len(record.turns)
    world = World(record.scenario(seed))
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


def _sent(world: World, before: int) -> list[Sent]:
    return [Sent(at, node, 1, priority) for at, node, priority in world.adverts[before:]]


def takeovers(taken: list[Turn]) -> list[float]:
    """Of all turns but the first, which began before the outage."""
    return [turn.takeover for turn in taken[1:] if turn.takeover is not None]


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_the_model_takes_turns_as_real_keepalived_did(path: Path) -> None:
    record = Record(json.loads(path.read_text()))
    real = record.turns
    assert len(real) == TURNS
    models = [simulated(record, seed) for seed in SEEDS]
    model = next((m for m in models if _order(m) == _order(real)), models[0])
    assert _order(model) == _order(real)
    late = [r - m for r, m in zip(takeovers(real), takeovers(model), strict=True)]
    assert len(late) == TURNS - 1
    assert min(late) > -0.005
    assert statistics.median(late) < LATE
    assert max(late) < 10 * LATE


def test_there_are_records_of_both_versions_and_sizes() -> None:
    shapes = {(len(r.nodes), r.facts["version"]) for r in _records()}
    assert {nodes for nodes, _ in shapes} == {3, 5}
    assert {version for _, version in shapes} == {2, 3}


def _order(taken: list[Turn]) -> list[str]:
    return [turn.node for turn in taken]


def _records() -> list[Record]:
    return [Record(json.loads(path.read_text())) for path in RECORDED]
