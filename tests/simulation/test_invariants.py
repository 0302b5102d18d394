"""The six invariants of the design over random histories; a failing one is shrunk and printed.

Always the same ones, but `make histories` plays many others: HAVRRPD_HISTORIES for each test.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import pytest
from hypothesis import HealthCheck, given, settings

from tests.simulation.histories import (
    AllGateways,
    History,
    histories,
    play,
)
from tests.simulation.invariants import Invariants
from tests.simulation.world import scenario_of

HISTORIES = os.environ.get("HAVRRPD_HISTORIES")
many = settings(
    max_examples=int(HISTORIES or "1500"),
    derandomize=not HISTORIES,  # what CI says depends on the change alone
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@many
@given(histories(gateways_only=True))
def test_they_hold_whatever_gateways_do(history: History) -> None:
    play(history)


@many
@given(histories())
def test_they_hold_whatever_else_happens(history: History) -> None:
    play(history)


@many
@given(histories(lossy=True))
def test_they_hold_on_a_wire_that_loses_adverts(history: History) -> None:
    play(history)


def outages(nodes: int, base: int, delay: float) -> Iterable[Invariants]:
    """Full outages of thirty turns and more, of routers with different ranks."""
    for number in range(25):
        scenario = scenario_of(
            nodes, base, delay=delay, router=f"router-{number}", max_dwell=2.0, seed=number
        )
        yield play(History(scenario, ((8.0, AllGateways(False)),), 90.0))


@pytest.mark.parametrize("base", [50, 150])
@pytest.mark.parametrize("nodes", [3, 5])
@pytest.mark.parametrize("delay", [0.0001, 0.002])
def test_two_masters_for_a_moment_are_rare(nodes: int, base: int, delay: float) -> None:
    counted = list(outages(nodes, base, delay))
    turns = sum(invariants.turns for invariants in counted)
    blips = sum(invariants.blips for invariants in counted)
    assert turns > 25 * 30
    assert blips <= 0.05 * turns
