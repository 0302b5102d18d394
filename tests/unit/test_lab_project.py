"""VRIDs and routers of the lab's projects."""

from __future__ import annotations

from collections import Counter

import pytest

from havrrpd.lab.project import HiddenNetwork, routers_of
from havrrpd.lab.waiting import LabError


def test_a_hidden_network_gives_out_each_vrid_once_and_then_refuses() -> None:
    network = HiddenNetwork(7)
    assert [network.allocate() for _ in range(255)] == list(range(1, 256))
    with pytest.raises(LabError) as refused:
        network.allocate()
    assert str(refused.value) == (
        "the hidden HA network of project 7 has no VRID left: 255 routers use 1 to 255"
    )


def test_routers_are_dealt_out_to_the_projects_each_with_vrids_of_its_own() -> None:
    routers = routers_of(5, projects=2)
    assert [(router.project, router.vrid) for router in routers] == [
        (1, 1),
        (2, 1),
        (1, 2),
        (2, 2),
        (1, 3),
    ]


def test_no_two_routers_share_anything_of_their_own() -> None:
    routers = routers_of(230, projects=2)
    for what in (
        [router.namespace for router in routers],
        [router.mac("qg") for router in routers],
        [address for router in routers for address in router.provider_addresses],
        [address for router in routers for address in router.project_addresses],
        [router.ha_address(node) for router in routers for node in (1, 2, 63)],
    ):
        assert [each for each, count in Counter(what).items() if count > 1] == []


@pytest.mark.parametrize("count", [0, 231])
def test_more_routers_than_the_provider_network_has_addresses_for_are_refused(count: int) -> None:
    with pytest.raises(LabError) as refused:
        routers_of(count, projects=2)
    assert str(refused.value) == (
        f"a lab has 1 to 230 routers, not {count}: the provider network is full"
    )
