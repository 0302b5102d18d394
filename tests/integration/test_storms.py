"""Everything moves at once: real addresses, adverts and FIFOs of many routers on one node.

In place of keepalived stand processes that only look like it: tests/bench/load.py.
"""

from __future__ import annotations

import pytest

from tests.bench.load import Load

ROUTERS, FLOATING = 60, 20
STORMS = 3
WITHIN = 0.3  # seconds
LIMIT = 20.0

pytestmark = pytest.mark.root


def test_no_change_of_a_storm_is_lost_and_every_counter_is_exact() -> None:
    with Load(ROUTERS, FLOATING) as load:
        load.start_havrrpd()
        load.wait_right(0, LIMIT)
        for _ in range(STORMS):
            load.order("master", range(ROUTERS), WITHIN)
            load.wait_right(ROUTERS, LIMIT)
            load.order("backup", range(ROUTERS), WITHIN)
            load.wait_right(0, LIMIT)
        assert load.transitions() == [2 * STORMS] * ROUTERS
        assert load.counter("havrrpd_vrrp_transitions_total") == (2 * STORMS + 1) * ROUTERS
        assert load.counter("havrrpd_netlink_overruns_total") == 0


def test_what_a_small_receive_buffer_could_not_hold_is_counted_and_listed_anew() -> None:
    with Load(ROUTERS, FLOATING) as load:
        load.start_havrrpd(more="[discovery]\nreceive_buffer = 4096\n")
        load.wait_right(0, LIMIT)
        load.order("master", range(ROUTERS))
        load.wait_right(ROUTERS, LIMIT)
        assert load.counter("havrrpd_netlink_overruns_total") > 0
        load.order("backup", range(ROUTERS))
        load.wait_right(0, LIMIT)


def test_an_address_that_comes_while_havrrpd_starts_is_not_missed() -> None:
    with Load(ROUTERS) as load:
        load.start_havrrpd()
        load.order("master", range(ROUTERS), 2.0)  # about as long as it takes to find them all
        load.wait_right(ROUTERS, LIMIT)


def test_a_router_with_five_hundred_addresses_is_right_when_they_are_gone_again() -> None:
    with Load(3, many=500) as load:
        load.start_havrrpd()
        load.wait_right(0, LIMIT)
        load.order("master", [0])
        load.wait_right(1, LIMIT)
        load.order("backup", [0])
        load.wait_right(0, LIMIT)
        assert load.transitions() == [2, 0, 0]


def test_metrics_of_many_routers_come_whole_and_change_nothing() -> None:
    with Load(ROUTERS) as load:
        load.start_havrrpd()
        load.wait_right(0, LIMIT)
        assert load.counter("havrrpd_keepalived_up") == ROUTERS
        assert load.counter("havrrpd_vrrp_state{") == ROUTERS
