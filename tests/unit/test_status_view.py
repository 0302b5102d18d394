"""/status: the shape that the contract promises, and what each witness is said to say."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface

import pytest
from msgspec.structs import replace

from havrrpd.core.model import (
    Cause,
    Election,
    Evidence,
    Gateway,
    GatewayCheck,
    Instance,
    InstanceConfig,
    MasterHeard,
    Phase,
    Problem,
    Router,
    Settings,
    State,
    Transition,
    Verdict,
    VirtualAddress,
    Word,
)
from havrrpd.core.node import Node, OddAdvert, Oddity, Unprotected
from havrrpd.views.status import router_status, status

NOW = 1000.0
WALL = 1_700_000_000.0  # 2023-11-14T22:13:20Z
FIRST = VirtualAddress(ip_interface("169.254.0.1/24"), "ha-0")
SECOND = VirtualAddress(ip_interface("10.0.0.1/24"), "qr-0", excluded=True)
CONFIG = InstanceConfig(
    name="VR_1",
    vrid=1,
    interface="ha-0",
    priority=150,
    advert_int=2.0,
    preempt=False,
    virtual_addresses=(FIRST, SECOND),
)
MASTER = Instance(
    config=CONFIG,
    state=State.MASTER,
    since=NOW - 10,
    present=frozenset({FIRST, SECOND}),
    word=Word.MASTER,
    priority_seen=149,
    last_sent=NOW - 1,
    last_transition=Transition(State.BACKUP, State.MASTER, NOW - 10, Cause.PEER_RESIGNED),
    transitions=((State.MASTER, Cause.PEER_RESIGNED, 2), (State.BACKUP, Cause.STARTED, 1)),
)
ROUTER = Router(
    id="a",
    settings=Settings(node="network1"),
    namespace="qrouter-a",
    pid=123,
    listed=True,
    wire_watched=True,
    notify_watched=True,
    instances=(MASTER,),
    connectivity=Verdict.REACHABLE,
    lever="/run/havrrpd/levers/a",
)
PEER = MasterHeard(ip_address("169.254.192.2"), 150, 2.0, NOW - 60, NOW - 0.4)


def node(*routers: Router) -> Node:
    return Node(
        name="network1",
        version="9.9",
        now=NOW,
        wall_now=WALL,
        started_at=NOW - 12.3,
        ready=True,
        routers={router.id: router for router in routers},
    )


def witnesses(router: Router, instance: Instance) -> object:
    router = replace(router, instances=(instance,))
    return router_status(node(router), "a")["instances"][0]["witnesses"]


def test_a_master_is_shown_in_the_shape_of_the_contract() -> None:
    checks = (
        GatewayCheck(
            Gateway(ip_address("203.0.113.1"), "qg-0"),
            Verdict.REACHABLE,
            method="arp",
            rtt_seconds=0.0004,
            checked_at=NOW - 1,
        ),
        GatewayCheck(Gateway(ip_address("2001:db8::1"))),
    )
    assert status(node(replace(ROUTER, checks=checks))) == {
        "node": "network1",
        "version": "9.9",
        "ready": True,
        "draining": False,
        "uptime_seconds": 12.3,
        "summary": {
            "routers": 1,
            "MASTER": 1,
            "BACKUP": 0,
            "FAULT": 0,
            "INIT": 0,
            "STOPPED": 0,
            "problems": 0,
            "unprotected": 0,
        },
        "unprotected": [],
        "routers": [
            {
                "router": "a",
                "namespace": "qrouter-a",
                "pid": 123,
                "state": "MASTER",
                "problems": [],
                "connectivity": "reachable",
                "instances": [
                    {
                        "vrrp_instance": "VR_1",
                        "vrid": 1,
                        "interface": "ha-0",
                        "version": 2,
                        "advert_int": 2.0,
                        "preempt": False,
                        "sync_group": None,
                        "state": "MASTER",
                        "since": "2023-11-14T22:13:10.000Z",
                        "problems": [],
                        "priority": 150,
                        "effective_priority": 149,
                        "virtual_addresses": [
                            {"address": "169.254.0.1/24", "interface": "ha-0", "present": True},
                            {"address": "10.0.0.1/24", "interface": "qr-0", "present": True},
                        ],
                        "witnesses": {
                            "process": "running",
                            "kernel": "all",
                            "notification": "MASTER",
                            "wire": "sending",
                        },
                        "masters_heard": [],
                        "last_transition": {
                            "from": "BACKUP",
                            "to": "MASTER",
                            "at": "2023-11-14T22:13:10.000Z",
                            "cause": "peer_resigned",
                        },
                        "transitions": 3,
                    }
                ],
                "gateways": [
                    {
                        "address": "203.0.113.1",
                        "family": "ipv4",
                        "interface": "qg-0",
                        "verdict": "reachable",
                        "method": "arp",
                        "rtt_seconds": 0.0004,
                        "failures_in_a_row": 0,
                        "checked_at": "2023-11-14T22:13:19.000Z",
                    },
                    {
                        "address": "2001:db8::1",
                        "family": "ipv6",
                        "interface": None,
                        "verdict": "unchecked",
                        "method": None,
                        "rtt_seconds": None,
                        "failures_in_a_row": 0,
                        "checked_at": None,
                    },
                ],
                "odd_adverts": [],
                "election": {
                    "phase": "steady",
                    "cause": None,
                    "tried": False,
                    "turns": 0,
                    "standing": 0,
                    "lever": "/run/havrrpd/levers/a",
                    "observe_only": False,
                    "uplinks_down": [],
                },
            }
        ],
    }


def test_routers_are_listed_by_id_and_a_router_without_instances_too() -> None:
    empty = replace(ROUTER, id="0", instances=(), pid=None, lever=None)
    shown = status(node(ROUTER, empty))
    assert [router["router"] for router in shown["routers"]] == ["0", "a"]
    assert shown["routers"][0]["state"] == "STOPPED"
    assert shown["routers"][0]["election"]["lever"] is None
    assert shown["summary"]["routers"] == 2


def test_an_unprotected_namespace_is_no_router_and_has_no_state() -> None:
    shown = status(replace(node(ROUTER), unprotected=(Unprotected("b", "qrouter-b"),)))
    assert shown["unprotected"] == [{"router": "b", "namespace": "qrouter-b"}]
    assert shown["summary"]["unprotected"] == 1
    assert shown["summary"]["routers"] == len(shown["routers"]) == 1
    assert shown["summary"]["problems"] == 0


def test_problems_of_router_and_instances_are_counted_and_listed() -> None:
    instance = replace(MASTER, problems=frozenset({Problem.DUPLICATE_MASTER}))
    router = replace(
        ROUTER, instances=(instance,), problems=frozenset({Problem.GATEWAY_UNREACHABLE})
    )
    shown = status(node(router))
    assert shown["summary"]["problems"] == 2
    assert shown["routers"][0]["problems"] == ["duplicate_master", "gateway_unreachable"]
    assert shown["routers"][0]["instances"][0]["problems"] == ["duplicate_master"]


def test_uplinks_that_are_down_are_listed_by_name() -> None:
    router = replace(ROUTER, uplinks_down=frozenset({"eth1", "eth0"}))
    assert status(node(router))["routers"][0]["election"]["uplinks_down"] == ["eth0", "eth1"]
    assert router_status(node(router), "a")["election"]["uplinks_down"] == ["eth0", "eth1"]


def test_only_one_router_at_a_time_is_explained() -> None:
    shown = router_status(node(ROUTER), "a")
    assert shown["explanation"] == [
        "MASTER for 10 s: the MASTER before it resigned (peer_resigned).",
        "Its gateways are not checked: health_check.interval is 0.",
        "This node resigns for a drain or a failover, and for nothing else.",
        "Its base priority is 150; what the track file makes of it is not known yet.",
        "Its last advert, 1 s ago, said priority 149.",
    ]
    whole = status(node(ROUTER))["routers"][0]
    assert shown == {**whole, "explanation": shown["explanation"]}
    assert "explanation" not in whole


def test_an_unknown_router_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        router_status(node(ROUTER), "b")


def test_witnesses_that_nobody_watches_say_so() -> None:
    router = replace(ROUTER, listed=False, wire_watched=False, notify_watched=False)
    assert witnesses(router, MASTER) == {
        "process": "running",
        "kernel": "unwatched",
        "notification": "unwatched",
        "wire": "unwatched",
    }


def test_a_killed_keepalived_leaves_its_addresses_and_silence() -> None:
    instance = replace(MASTER, last_sent=NOW - 6.1, word=None, present=frozenset({FIRST}))
    assert witnesses(replace(ROUTER, pid=None), instance) == {
        "process": "gone",
        "kernel": "some",
        "notification": "none",
        "wire": "silent",
    }


def test_a_backup_that_hears_a_master_is_hearing() -> None:
    instance = replace(
        MASTER, state=State.BACKUP, word=Word.BACKUP, present=frozenset(), masters=(PEER,)
    )
    assert witnesses(ROUTER, replace(instance, last_sent=NOW - 100)) == {
        "process": "running",
        "kernel": "none",
        "notification": "BACKUP",
        "wire": "hearing",
    }


def test_a_backup_that_just_gave_in_to_another_master_is_not_sending_any_more() -> None:
    instance = replace(MASTER, state=State.BACKUP, since=NOW - 0.5, masters=(PEER,))
    shown = witnesses(ROUTER, instance)
    assert isinstance(shown, dict)
    assert shown["wire"] == "hearing"


def test_a_master_heard_long_ago_is_silence() -> None:
    old = replace(PEER, last_heard=NOW - 6.1)
    shown = router_status(
        node(replace(ROUTER, instances=(replace(MASTER, masters=(old,), last_sent=0.0),))), "a"
    )
    assert shown["instances"][0]["witnesses"]["wire"] == "silent"
    assert shown["instances"][0]["masters_heard"] == [
        {"address": "169.254.192.2", "priority": 150, "last_heard_seconds": 6.1}
    ]


def test_odd_adverts_are_shown_at_their_router() -> None:
    odd = OddAdvert(
        "ha-0",
        ip_address("169.254.192.9"),
        frozenset({Oddity.VIRTUAL_ADDRESSES, Oddity.ADVERT_INT}),
        NOW - 1.5,
    )
    shown = status(replace(node(ROUTER), odd_adverts={"a": (odd,)}))
    assert shown["routers"][0]["odd_adverts"] == [
        {
            "interface": "ha-0",
            "source": "169.254.192.9",
            "oddities": ["advert_int", "virtual_addresses"],
            "last_heard_seconds": 1.5,
        }
    ]


def test_an_advert_that_resigns_is_not_sending() -> None:
    instance = replace(MASTER, evidence=Evidence(own_resigned=NOW - 1))
    shown = witnesses(ROUTER, instance)
    assert isinstance(shown, dict)
    assert shown["wire"] == "silent"


def test_a_backup_has_the_priority_that_its_lever_leaves() -> None:
    election = Election(phase=Phase.DRAINED, standing=-149, written=-149)
    router = replace(ROUTER, instances=(replace(MASTER, state=State.BACKUP),), election=election)
    assert router_status(node(router), "a")["instances"][0]["effective_priority"] == 1
    without = replace(router, lever=None)
    assert router_status(node(without), "a")["instances"][0]["effective_priority"] == 150
