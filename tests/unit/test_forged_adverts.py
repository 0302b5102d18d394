"""What somebody who can send adverts can make havrrpd do: it says so, and hardly anything else.

VRRP itself is not guarded: keepalived obeys a forged advert of a higher priority. This is about
what havrrpd does with its lever.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from havrrpd.core.messages import (
    AdvertHeard,
    GatewayProbed,
    ProbeGateway,
    StateNotified,
    StopProbing,
)
from havrrpd.core.model import KeepalivedConfig, Outcome, Problem, State, Word
from havrrpd.core.priority import RESIGNING
from tests.support import CHECKED, CONFIG, INSTANCE, Driven, configured
from tests.unit.test_gateways import HOP

TICK = 0.25
FORGED = st.builds(
    AdvertHeard,
    st.just("ha-1"),
    st.just(1),
    st.sampled_from([IPv4Address(f"169.254.192.{last}") for last in (2, 3, 99)]),
    st.one_of(st.sampled_from([0, 1, 2, 16, 17, 100, 149, 150, 151, 255]), st.integers(0, 255)),
    st.sampled_from([0.01, 1.0, 40.95, 255.0]),
)
# What is forged in each quarter of a second.
HISTORIES = st.lists(st.lists(FORGED, max_size=3), min_size=8, max_size=120)
CONFIGS = [CONFIG, configured(replace(INSTANCE, preempt=True))]


class Watched:
    """A router whose gateway answers, or never does, to each probe that it orders."""

    def __init__(self, config: KeepalivedConfig, outcome: Outcome) -> None:
        self.driven = Driven(config, CHECKED, sends=True).as_master()
        self.at = 0.0
        self.resigned: list[float] = []
        self._outcome = outcome
        self._asked: list[float] = []
        self.note()

    def tick(self, forged: list[AdvertHeard]) -> None:
        """A quarter of a second goes by, then somebody sends these."""
        self.at += TICK
        self.driven.wait_until(self.at)
        self.note()
        ended = [sent for sent in self._asked if self.driven.now >= sent + CHECKED.timeout]
        self._asked = [sent for sent in self._asked if sent not in ended]
        for sent in ended:
            self.driven.feed(GatewayProbed(HOP, sent, self._outcome, "arp", 0.001))
            self.note()
        self.driven.feed(*forged)
        self.note()

    def note(self) -> None:
        """What was ordered by the last call."""
        orders = self.driven.actions
        if any(isinstance(each, StopProbing) for each in orders):
            self._asked = []
        self._asked += [self.driven.now for each in orders if isinstance(each, ProbeGateway)]
        if RESIGNING in self.driven.written:
            self.resigned.append(self.at)


@pytest.mark.parametrize("config", CONFIGS, ids=["nopreempt", "preempt"])
@settings(max_examples=150, deadline=None)
@given(HISTORIES)
def test_a_master_that_reaches_its_gateways_never_resigns_for_them(
    config: KeepalivedConfig, history: list[list[AdvertHeard]]
) -> None:
    watched = Watched(config, Outcome.REPLY)
    for forged in history:
        watched.tick(forged)
        assert watched.resigned == []
        assert watched.driven.router.state is State.MASTER


@pytest.mark.parametrize("config", CONFIGS, ids=["nopreempt", "preempt"])
@settings(max_examples=150, deadline=None)
@given(HISTORIES)
def test_a_master_without_gateways_resigns_at_most_once_in_a_dwell_whatever_is_forged(
    config: KeepalivedConfig, history: list[list[AdvertHeard]]
) -> None:
    """The worst case: it gets the role back as soon as its lever lets it."""
    watched = Watched(config, Outcome.TIMEOUT)
    driven = watched.driven
    for forged in history:
        watched.tick(forged)
        if driven.lever == RESIGNING and driven.router.state is State.MASTER:
            driven.fault()
            watched.note()
        elif driven.lever != RESIGNING and driven.router.state is State.FAULT:
            driven.feed(StateNotified("VR_1", Word.BACKUP, 150)).promote()
            watched.note()
    gaps = [later - earlier for earlier, later in pairwise(watched.resigned)]
    assert all(gap >= CHECKED.time_to_lose for gap in gaps)


def test_a_master_without_gateways_does_resign() -> None:
    """So that the property above says something."""
    watched = Watched(CONFIG, Outcome.TIMEOUT)
    for _ in range(20):
        watched.tick([])
    assert watched.resigned == [2.0]


@pytest.mark.parametrize("priority", [1, 16, 149])
def test_one_that_goes_on_is_a_duplicate_master_until_it_ends(priority: int) -> None:
    driven = Driven(sends=True).as_master()
    forged = AdvertHeard("ha-1", 1, IPv4Address("169.254.192.99"), priority, 1.0)
    for second in range(4):
        driven.wait_until(float(second)).feed(forged)
    assert Problem.DUPLICATE_MASTER in driven.instance.problems
    assert driven.written == []
    driven.wait_until(8.0)
    assert driven.instance.problems == frozenset()
