"""The status as a table: its rows, its colours, and what is left out where there is no room."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

import click
import pytest
from msgspec.structs import replace

from havrrpd.core.model import (
    Cause,
    Election,
    Gateway,
    GatewayCheck,
    Phase,
    Problem,
    Router,
    State,
    Transition,
    Verdict,
)
from havrrpd.terminal.colours import GREEN, RED, YELLOW, painted, wanted
from havrrpd.terminal.table import (
    facts,
    prefix_length,
    summary,
    table,
    worst_first,
)
from tests.unit.test_cli import BACKUP, CONFIG, MASTER, NODE, ROUTER, status

NOW = datetime.fromtimestamp(1_700_000_000, UTC)
LONG = "3f2a9c10-8a51-4c1e-9d0e-000000000001"


def shown(*routers: Router, **node: Any) -> list[dict[str, Any]]:
    whole = status(replace(NODE, routers={router.id: router for router in routers}, **node))
    return list(whole["routers"])


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in click.unstyle(line).split("  ") if cell]


def check(address: str, verdict: Verdict) -> GatewayCheck:
    return GatewayCheck(Gateway(ip_address(address)), verdict)


def test_a_row_says_what_vrrp_shows_and_what_is_wrong() -> None:
    last = Transition(State.BACKUP, State.MASTER, 990.0, Cause.PEER_RESIGNED)
    router = replace(
        ROUTER,
        instances=(replace(MASTER, last_transition=last),),
        election=Election(phase=Phase.DWELLING, tried=True, standing=-40, written=-40),
        checks=(check("203.0.113.1", Verdict.LOST), check("fe80::1", Verdict.REACHABLE)),
        problems=frozenset({Problem.GATEWAY_UNREACHABLE}),
    )
    head, line = table(shown(router), NOW)
    assert dict(zip(cells(head), cells(line), strict=True)) == {
        "ROUTER": "a",
        "INSTANCE": "VR_1",
        "INTERFACE": "ha-0",
        "VRID": "1",
        "STATE": "MASTER",
        "PRIORITY": "10 of 50",
        "LAST TRANSITION": "10 s ago, peer_resigned",
        "GATEWAYS": "203.0.113.1 lost, 1 reachable",
        "ELECTION": "dwelling, tried, standing -40",
        "PROBLEMS": "gateway_unreachable",
    }


def test_each_instance_has_a_line_and_the_router_is_told_of_once() -> None:
    second = replace(MASTER, config=replace(CONFIG, name="VR_2", vrid=2), state=State.FAULT)
    own = frozenset({Problem.LEVER_MISSING})
    missing = replace(MASTER, problems=frozenset({Problem.ADDRESSES_MISSING}))
    lines = table(shown(replace(ROUTER, instances=(missing, second), problems=own)), NOW)
    first, other = (cells(line) for line in lines[1:])
    assert (first[1], first[4], first[-1]) == (
        *("VR_1", "MASTER"),
        "addresses_missing, lever_missing",
    )
    assert (other[1], other[4], other[-1]) == ("VR_2", "FAULT", "-")
    assert "standing" in click.unstyle(lines[1])
    assert "standing" not in click.unstyle(lines[2])


def test_a_router_without_instances_has_a_line_too() -> None:
    _, line = table(shown(replace(ROUTER, instances=(), pid=None)), NOW)
    assert cells(line)[:5] == ["a", "-", "-", "-", "STOPPED"]


def test_a_row_names_the_uplink_that_is_down() -> None:
    election = Election(phase=Phase.RESIGNING, standing=-254)
    router = replace(ROUTER, election=election, uplinks_down=frozenset({"eth-ovl"}))
    assert "resigning, eth-ovl down, standing -254" in table(shown(router))[1]


def test_only_a_master_without_problems_is_green() -> None:
    troubled = replace(ROUTER, problems=frozenset({Problem.GATEWAY_UNREACHABLE}))
    fault = replace(ROUTER, instances=(replace(MASTER, state=State.FAULT),))
    for router, text, colour in (
        (ROUTER, "MASTER", GREEN),
        (troubled, "MASTER", YELLOW),
        (troubled, "gateway_unreachable", RED),
        (fault, "FAULT", RED),
    ):
        assert painted(text, colour) in table(shown(router))[1]
    backup = table(shown(replace(ROUTER, instances=(BACKUP,))))[1]
    assert "  BACKUP  " in backup


@pytest.mark.parametrize("width", range(24, 220, 7))
def test_no_line_is_wider_than_there_is_room_and_state_and_problems_stay(width: int) -> None:
    problems = frozenset({Problem.NO_MASTER_HEARD})
    instance = replace(BACKUP, config=replace(CONFIG, interface="ha-1a2b3c4d-5e"))
    router = replace(ROUTER, id=LONG, instances=(instance,), problems=problems)
    lines = [click.unstyle(line) for line in table(shown(router), NOW, width=width)]
    narrowest = len("3f2a9c10  BACKUP  no_master_heard")
    assert max(map(len, lines)) <= max(width, narrowest)
    assert "BACKUP" in lines[1]
    assert "no_master_heard" in lines[1]


def test_what_is_left_out_comes_back_with_the_room_for_it() -> None:
    router = replace(ROUTER, id=LONG)
    widest = table(shown(router), NOW)
    assert LONG in widest[1]
    room = max(len(click.unstyle(line)) for line in widest)
    assert table(shown(router), NOW, width=room) == widest
    assert "ha-0" not in table(shown(router), NOW, width=40)[1]


def test_ids_are_shortened_to_where_they_differ() -> None:
    assert prefix_length([LONG]) == 8
    assert prefix_length([LONG, LONG.replace("8a51", "8a52")]) == len("3f2a9c10-8a52")
    assert prefix_length(["a", "ab"]) == 8


def test_trouble_comes_first() -> None:
    routers = shown(
        replace(ROUTER, id="a", instances=(BACKUP,)),
        replace(ROUTER, id="b"),
        replace(ROUTER, id="c", problems=frozenset({Problem.LEVER_MISSING})),
        replace(ROUTER, id="d", instances=(replace(MASTER, state=State.FAULT),)),
    )
    assert [router["router"] for router in worst_first(routers)] == ["c", "d", "b", "a"]


def test_facts_change_with_what_happens_and_not_with_time() -> None:
    before = facts(shown(ROUTER)[0])
    assert before == facts(shown(ROUTER, now=2000.0, wall_now=1_700_001_000.0)[0])
    counted = replace(MASTER, transitions=((State.MASTER, Cause.PREEMPTED, 2),))
    for other in (
        replace(ROUTER, instances=(BACKUP,)),
        replace(ROUTER, instances=(counted,)),
        replace(ROUTER, election=Election(tried=True)),
        replace(ROUTER, checks=(check("203.0.113.1", Verdict.LOST),)),
        replace(ROUTER, problems=frozenset({Problem.LEVER_MISSING})),
    ):
        assert facts(shown(other)[0]) != before


def test_the_summary_names_drain_and_readiness() -> None:
    empty = status(replace(NODE, routers={}, draining=True, ready=False))
    assert summary(empty) == "network1: routers: none; 0 problems, draining, not ready yet"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": ""}, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": ""}, True),
    ],
)
def test_colours_obey_the_environment(
    variables: dict[str, str], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with open("/dev/null", encoding="utf-8") as stream:
        assert wanted(stream) is expected


def test_ages_have_one_unit() -> None:
    ages = [
        click.unstyle(table(shown(ROUTER), NOW + timedelta(seconds=seconds))[1])
        for seconds in (109, 110, 7190, 172790)
    ]
    assert [age.split(" ago")[0].split("  ")[-1].strip() for age in ages] == [
        *("119 s", "2 min", "2 h", "2 d")
    ]
