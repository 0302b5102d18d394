"""How much one client may ask: whom an address is counted for, connections, rates."""

from __future__ import annotations

from math import inf

import pytest

from havrrpd.views.web.limits import Connections, Limits, Rate, Refusal, client_of


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2001:db8::1", "2001:db8::ffff:1"),
        ("fe80::1%eth0", "fe80::2%eth0"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("", ""),
    ],
)
def test_these_are_one_client(one: str, other: str) -> None:
    assert client_of(one) == client_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("203.0.113.7", "203.0.113.8"), ("2001:db8::1", "2001:db8:0:1::1"), ("::1", "127.0.0.1")],
)
def test_these_are_two_clients(one: str, other: str) -> None:
    assert client_of(one) != client_of(other)


def test_a_client_has_so_many_connections_and_all_clients_so_many() -> None:
    limits, open_now = Limits(connections=3, client_connections=2), Connections()
    for client in ("a", "a"):
        assert open_now.refusal(client, limits) is None
        open_now.enter(client)
    assert open_now.refusal("a", limits) is Refusal.CLIENT_CONNECTIONS
    open_now.enter("b")
    assert open_now.refusal("c", limits) is Refusal.CONNECTIONS
    open_now.leave("a")
    assert open_now.refusal("a", limits) is None


def test_a_second_s_worth_comes_at_once_and_then_one_at_a_time() -> None:
    rate = Rate()
    assert [rate.take("a", 4.0, 100.0) for _ in range(6)] == [True] * 4 + [False] * 2
    assert not rate.take("a", 4.0, 100.2)
    assert rate.take("a", 4.0, 100.25)
    assert not rate.take("a", 4.0, 100.25)


def test_a_quiet_client_has_no_more_than_a_second_s_worth() -> None:
    rate = Rate()
    assert rate.take("a", 2.0, 0.0)
    assert [rate.take("a", 2.0, 1000.0) for _ in range(3)] == [True, True, False]


def test_less_than_one_a_second_is_one_at_a_time() -> None:
    rate = Rate()
    assert [rate.take("a", 0.5, 0.0), rate.take("a", 0.5, 1.9), rate.take("a", 0.5, 2.0)] == [
        True,
        False,
        True,
    ]


def test_one_client_takes_nothing_from_another() -> None:
    rate = Rate()
    assert rate.take("a", 1.0, 0.0)
    assert not rate.take("a", 1.0, 0.0)
    assert rate.take("b", 1.0, 0.0)


def test_no_limit_is_none() -> None:
    rate = Rate()
    assert all(rate.take("a", inf, 0.0) for _ in range(10_000))


def test_a_refused_request_costs_nothing() -> None:
    rate = Rate()
    taken = sum(rate.take("a", 10.0, tick / 1000) for tick in range(10_000))
    assert taken == 10 + 10 * 10 - 1
