"""What holds for a router whatever happens to it, in whatever order."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from havrrpd.core.messages import (
    Action,
    AddressAdded,
    AddressEvent,
    AddressRemoved,
    AdvertHeard,
    AdvertSent,
    DeadlinePassed,
    DrainChanged,
    Event,
    FailoverRequested,
    GatewayProbed,
    KeepalivedEnded,
    KeepalivedReloaded,
    KeepalivedStarted,
    KernelListed,
    LinkChanged,
    LinkRemoved,
    NotifyWatched,
    ProbeGateway,
    SettingsChanged,
    StandingFailed,
    StateNotified,
    Stopping,
    UplinksChanged,
    WireWatched,
)
from havrrpd.core.model import (
    Cause,
    Election,
    HealthCheck,
    KeepalivedConfig,
    Outcome,
    Phase,
    Router,
    Settings,
    State,
    Word,
)
from havrrpd.core.step import _whole, step
from tests import support
from tests.support import (
    CHECKED,
    CONFIG,
    EXCLUDED,
    INSTANCE,
    LEVER,
    PEER,
    PLAIN,
    Driven,
    configured,
)
from tests.unit.test_gateways import HOP

OWN, THIRD = IPv4Address("169.254.192.1"), IPv4Address("169.254.192.3")
HELD = frozenset((v.interface, v.address) for v in (PLAIN, EXCLUDED))
CONFIGS = st.sampled_from(
    [
        CONFIG,
        replace(CONFIG, track_files=()),
        replace(CONFIG, instances=()),
        configured(replace(INSTANCE, preempt=True)),
        configured(replace(INSTANCE, name="VR_9", priority=20)),
        configured(replace(INSTANCE, version=3, advert_int=0.2, virtual_addresses=())),
    ]
)
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(KeepalivedStarted, st.integers(1, 3), st.none(), CONFIGS, st.just(0.0)),
    st.builds(KeepalivedReloaded, CONFIGS),
    st.builds(KeepalivedEnded, st.integers(1, 3)),
    st.builds(
        KernelListed, st.just({"ha-1": True, "qg-1": True}), st.sampled_from([frozenset(), HELD])
    ),
    st.builds(LinkChanged, st.sampled_from(["ha-1", "qg-1"]), st.booleans()),
    st.builds(LinkRemoved, st.sampled_from(["ha-1", "qg-1"])),
    st.builds(AddressAdded, st.just(PLAIN.interface), st.just(PLAIN.address)),
    st.builds(AddressAdded, st.just(EXCLUDED.interface), st.just(EXCLUDED.address)),
    st.builds(AddressRemoved, st.just(PLAIN.interface), st.just(PLAIN.address)),
    st.builds(NotifyWatched, st.booleans()),
    st.builds(WireWatched, st.booleans()),
    st.builds(
        StateNotified, st.sampled_from(["VR_1", "VR_9"]), st.sampled_from(Word), st.just(150)
    ),
    st.builds(
        AdvertHeard,
        st.just("ha-1"),
        st.just(1),
        st.sampled_from([PEER, IPv4Address("169.254.192.3")]),
        st.sampled_from([0, 2, 16, 17, 150, 254]),
        st.sampled_from([0.1, 1.0, 255.0]),
    ),
    st.builds(GatewayProbed, st.just(HOP), st.just(0.0), st.sampled_from(Outcome), st.just("arp")),
    st.builds(FailoverRequested),
    st.builds(DrainChanged, st.booleans()),
    st.builds(UplinksChanged, st.sampled_from([frozenset(), frozenset({"eth-ovl"})])),
    st.builds(StandingFailed, st.just(LEVER), st.just(0), st.just("full")),
    st.builds(
        SettingsChanged,
        st.builds(
            Settings,
            st.just("network1"),
            st.sampled_from([CHECKED, HealthCheck()]),
            st.booleans(),
        ),
    ),
)
# each event comes so many seconds after the one before; the deadlines between them pass
HISTORIES = st.lists(
    st.tuples(st.sampled_from([0.0, 0.0, 0.1, 0.6, 3.0, 40.0]), EVENTS), min_size=10, max_size=60
)


def holds(driven: Driven) -> None:
    router, election = driven.router, driven.router.election
    if router.lever and driven.lever is not None and driven.lever <= -254:
        assert election.phase is Phase.RESIGNING or election.rewrite_due is not None
    if election.phase is Phase.RESIGNING:
        assert router.lever is not None
        assert election.release_due is not None or router.uplinks_down
    if router.uplinks_down and router.lever and not router.settings.observe_only:
        assert election.standing == -254
    if router.state is not State.MASTER:
        assert router.checks == ()
        assert not any(isinstance(action, ProbeGateway) for action in driven.actions)


@settings(max_examples=300, deadline=None)
@given(HISTORIES, st.booleans(), st.sampled_from([None, 0, -254]))
def test_no_history_spins_raises_or_leaves_the_lever_down(
    history: list[tuple[float, Event]], sends: bool, lever: int | None
) -> None:
    driven = Driven(health_check=CHECKED, lever_holds=lever, sends=sends).as_backup()
    at = 1.0
    for pause, event in history:
        at += pause
        driven.wait_until(at)  # asserts that no deadline comes again at once
        driven.feed(event)
        holds(driven)
    driven.feed(Stopping())
    if driven.router.lever and driven.router.election.rewrite_due is None:
        assert driven.lever is not None
        assert driven.lever > -254


# each address once: one that goes and comes back in the same moment is no transition
ADDRESSES = st.permutations(
    [
        st.sampled_from([AddressAdded(*where), AddressRemoved(*where)])
        for where in ((v.interface, v.address) for v in (PLAIN, EXCLUDED))
    ]
).flatmap(lambda chosen: st.tuples(*chosen))


@settings(max_examples=300, deadline=None)
@given(HISTORIES, ADDRESSES)
def test_addresses_that_change_together_end_as_one_by_one(
    history: list[tuple[float, Event]], changes: tuple[AddressEvent, ...]
) -> None:
    driven, at = Driven(health_check=CHECKED, sends=True).as_backup(), 1.0
    for pause, event in history:
        at += pause
        driven.wait_until(at)
        driven.feed(event)
    (*ahead, last), now = changes, driven.now
    together, _ = step(driven.router, last, now, ahead)
    one_by_one = driven.router
    for change in changes:
        one_by_one, _ = step(one_by_one, change, now)
    assert together.addresses == one_by_one.addresses
    assert [i.present for i in together.instances] == [i.present for i in one_by_one.instances]
    settled_at = now + together.settings.settle + 0.01
    outcomes = [step(router, DeadlinePassed(), settled_at)[0] for router in (together, one_by_one)]
    assert outcomes[0].state is outcomes[1].state
    assert outcomes[0].problems == outcomes[1].problems


def both_ways(router: Router, event: Event, now: float) -> tuple[Router, tuple[Action, ...]]:
    result = step(router, event, now)
    assert result == _whole(router, event, now)
    return result


PROBED = st.tuples(
    st.sampled_from([0.0, 0.1, 0.6]),
    st.builds(GatewayProbed, st.just(HOP), st.just(0.0), st.sampled_from(Outcome), st.just("arp")),
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.one_of(PROBED, PROBED, PROBED, st.tuples(st.just(0.1), EVENTS)), max_size=60),
    st.booleans(),
)
def test_what_concerns_the_gateways_alone_ends_as_on_the_whole_way(
    history: list[tuple[float, Event]], in_outage: bool
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(support, "step", both_ways)
        driven, at = Driven(health_check=CHECKED, sends=True).as_master(), 1.0
        if in_outage:
            election = replace(driven.router.election, tried=True, turns=1)
            driven.router = replace(driven.router, election=election)
        for pause, event in history:
            at += pause
            driven.wait_until(at)
            driven.feed(event)


ADVERT = st.one_of(
    st.just(AdvertHeard("ha-1", 1, PEER, 100, 1.0)),
    st.just(AdvertSent("ha-1", 1, OWN, 150)),
    st.builds(
        AdvertHeard,
        st.just("ha-1"),
        st.just(1),
        st.sampled_from([PEER, THIRD]),
        st.sampled_from([0, 2, 100, 145, 150, 254]),
        st.sampled_from([1.0, 255.0]),
    ),
    st.builds(AdvertSent, st.just("ha-1"), st.just(1), st.just(OWN), st.sampled_from([0, 2, 150])),
)
SAID = st.tuples(st.sampled_from([0.0, 0.5, 1.0, 3.5]), ADVERT, st.integers(1, 5))
DONE = st.tuples(st.sampled_from([0.0, 0.1, 3.0]), EVENTS, st.just(1))
STEPS = st.tuples(st.one_of(SAID, SAID, SAID, DONE), st.sampled_from([False, False, True]))
OUTAGES = [
    Election(),
    Election(tried=True, turns=1),
    Election(turns=2, longest_heard=3.0),
    Election(phase=Phase.DRAINED, draining=True),
    Election(phase=Phase.RESIGNING, cause=Cause.GATEWAY_LOST, release_due=1005.0),
]


@settings(max_examples=700, deadline=None)
@given(st.lists(STEPS, max_size=40), st.booleans(), CONFIGS, st.sampled_from(OUTAGES))
def test_adverts_that_tell_nothing_new_end_as_on_the_whole_way(
    history: list[tuple[tuple[float, Event, int], bool]],
    is_master: bool,
    config: KeepalivedConfig,
    outage: Election,
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(support, "step", both_ways)
        driven, at = Driven(health_check=CHECKED), 1.0
        driven = driven.as_master() if is_master else driven.as_backup()
        driven.router = replace(driven.router, election=outage)
        driven.feed(KeepalivedReloaded(config))
        for (pause, event, times), late in history:
            for _ in range(times):
                at += pause
                if not late:  # an event that was there before its deadline is heard first
                    driven.wait_until(at)
                driven.feed(event, at=at)
