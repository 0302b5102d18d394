"""/metrics: names and labels as the contract has them, series that are there from the start."""

from __future__ import annotations

import re
from ipaddress import ip_address

from msgspec.structs import replace
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_format
from prometheus_client.parser import text_string_to_metric_families as text_format

from havrrpd.core.model import (
    Cause,
    Election,
    Gateway,
    GatewayCheck,
    HealthCheck,
    Instance,
    InstanceConfig,
    Outcome,
    Problem,
    Router,
    Settings,
    State,
    Transition,
    Verdict,
)
from havrrpd.core.node import Counters, Histogram, Node, Unprotected, Usage
from havrrpd.views.metrics import ROUTERS_A_SLICE, Rendering, render

TEXT = "text/plain"
OPEN = "application/openmetrics-text; version=1.0.0"
VR_1 = Instance(InstanceConfig("VR_1", 1, "ha-0", priority=50), state=State.BACKUP)
ROUTER = Router(id="a", settings=Settings(node="network1"), pid=123, instances=(VR_1,))


def node(*routers: Router) -> Node:
    return Node(
        name="network1",
        version="9.9",
        now=1000.0,
        wall_now=1_700_000_000.0,
        started_at=900.0,
        routers={router.id: router for router in routers},
        unprotected=(Unprotected("b", "qrouter-b"),),
        counters=Counters(2, {"state": 7, "malformed": 1}, {"checksum": 3}, {"client_rate": 4}),
        loop_lag=Histogram(counts=(1, 2, 3, 3, 3, 3, 3, 3, 3, 3), count=4, total_seconds=3.5),
        config_reloaded_at=1_699_999_000.0,
        sources=("netlink", "notify"),
        stalled_sources=("notify",),
        usage=Usage(7.5, 50e6, 30, 1024, 1_699_998_000.0),
    )


def samples(snapshot: Node) -> dict[str, float]:
    """Every sample, by its name and its labels in the order of their names."""
    body, _ = render(snapshot, TEXT)
    found: dict[str, float] = {}
    for family in text_format(body.decode()):
        for sample in family.samples:
            labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
            key = f"{sample.name}{{{labels}}}" if labels else sample.name
            assert key not in found
            found[key] = sample.value
    return found


def test_exactly_one_state_is_1_and_the_others_are_0() -> None:
    found = samples(node(ROUTER))
    states = {key: value for key, value in found.items() if key.startswith("havrrpd_vrrp_state{")}
    assert states == {
        f"havrrpd_vrrp_state{{router=a,state={state},vrid=1,vrrp_instance=VR_1}}": float(
            state is State.BACKUP
        )
        for state in State
    }


def test_every_problem_has_a_series_and_the_routers_are_on_each_instance() -> None:
    second = replace(
        VR_1,
        config=replace(VR_1.config, name="VR_2"),
        problems=frozenset({Problem.NO_MASTER_HEARD}),
    )
    router = replace(
        ROUTER, instances=(VR_1, second), problems=frozenset({Problem.KEEPALIVED_DOWN})
    )
    found = samples(node(router))
    problems = {key for key in found if key.startswith("havrrpd_vrrp_problem{")}
    assert len(problems) == 2 * len(Problem)
    assert {key for key in problems if found[key]} == {
        "havrrpd_vrrp_problem{problem=keepalived_down,router=a,vrrp_instance=VR_1}",
        "havrrpd_vrrp_problem{problem=keepalived_down,router=a,vrrp_instance=VR_2}",
        "havrrpd_vrrp_problem{problem=no_master_heard,router=a,vrrp_instance=VR_2}",
    }


def test_a_router_without_instances_still_shows_its_problem() -> None:
    router = replace(ROUTER, pid=None, instances=(), problems=frozenset({Problem.KEEPALIVED_DOWN}))
    found = samples(node(router))
    assert found["havrrpd_vrrp_problem{problem=keepalived_down,router=a,vrrp_instance=}"] == 1
    assert found["havrrpd_keepalived_up{router=a}"] == 0


def test_transitions_are_counted_from_0() -> None:
    at = Transition(State.BACKUP, State.MASTER, 990.0, Cause.PEER_SILENT)
    after = replace(
        VR_1,
        last_transition=at,
        transitions=((State.MASTER, Cause.PEER_SILENT, 2), (State.FAULT, Cause.PREEMPTED, 1)),
    )
    name = "havrrpd_vrrp_transitions_total{cause=peer_silent,router=a,to=MASTER,vrrp_instance=VR_1}"
    rare = "havrrpd_vrrp_transitions_total{cause=preempted,router=a,to=FAULT,vrrp_instance=VR_1}"
    time = "havrrpd_vrrp_last_transition_timestamp_seconds{router=a,vrrp_instance=VR_1}"
    before = samples(node(ROUTER))
    assert (before[name], before[time]) == (0, 0)
    assert rare not in before
    found = samples(node(replace(ROUTER, instances=(after,))))
    assert (found[name], found[rare], found[time]) == (2, 1, 1_699_999_990.0)


def test_gateways_have_a_verdict_once_there_is_one_and_probes_from_the_start() -> None:
    checks = (
        GatewayCheck(Gateway(ip_address("203.0.113.1"), "qg-0"), Verdict.LOST),
        GatewayCheck(Gateway(ip_address("fe80::1"), "qg-0"), Verdict.REACHABLE, rtt_seconds=0.002),
        GatewayCheck(Gateway(ip_address("203.0.113.2"), "qg-0")),
    )
    router = replace(
        ROUTER,
        settings=Settings(node="network1", health_check=HealthCheck(methods=("arp", "icmp"))),
        checks=checks,
        probes={(checks[0].gateway, "arp+icmp", Outcome.TIMEOUT): 3},
    )
    found = {key: value for key, value in samples(node(router)).items() if "_gateway_" in key}
    assert {key for key in found if "_probes_" not in key} == {
        "havrrpd_gateway_reachable{family=ipv4,gateway=203.0.113.1,router=a}",
        "havrrpd_gateway_reachable{family=ipv6,gateway=fe80::1%qg-0,router=a}",
        "havrrpd_gateway_rtt_seconds{family=ipv6,gateway=fe80::1%qg-0,router=a}",
    }
    assert found["havrrpd_gateway_reachable{family=ipv4,gateway=203.0.113.1,router=a}"] == 0
    probes = {key: value for key, value in found.items() if "_probes_" in key}
    assert len(probes) == 3 * 5
    lost = "family=ipv4,gateway=203.0.113.1,method=arp+icmp,outcome=timeout,router=a"
    assert probes[f"havrrpd_gateway_probes_total{{{lost}}}"] == 3
    reply = "family=ipv6,gateway=fe80::1%qg-0,method=ndp,outcome=reply,router=a"
    assert probes[f"havrrpd_gateway_probes_total{{{reply}}}"] == 0


def test_one_address_on_two_interfaces_makes_two_series() -> None:
    address = ip_address("203.0.113.1")
    checks = tuple(
        GatewayCheck(Gateway(address, name), Verdict.REACHABLE) for name in ("qg-0", "qg-1")
    )
    found = samples(node(replace(ROUTER, checks=checks)))
    assert len([key for key in found if key.startswith("havrrpd_gateway_reachable")]) == 2


def test_probes_of_one_address_over_several_interfaces_in_turn_are_one_series() -> None:
    address = ip_address("203.0.113.1")
    probes = {(Gateway(address, name), "arp", Outcome.REPLY): 2 for name in ("qg-0", "qg-1", None)}
    text, _ = render(node(replace(ROUTER, checks=(), probes=probes)), TEXT)
    labels = 'router="a",gateway="203.0.113.1",family="ipv4",method="arp",outcome="reply"'
    assert [line for line in text.decode().splitlines() if labels in line] == [
        f"havrrpd_gateway_probes_total{{{labels}}} 6.0"
    ]


def test_the_election_and_the_lever_are_shown() -> None:
    election = Election(
        tried=True,
        turns_total=4,
        standing=-10,
        written=-10,
        resignations=((Cause.GATEWAY_LOST, 2),),
    )
    found = samples(node(replace(ROUTER, election=election, lever="/run/havrrpd/levers/a")))
    assert found["havrrpd_election_tried{router=a}"] == 1
    assert found["havrrpd_election_turns_total{router=a}"] == 4
    assert found["havrrpd_resignations_total{cause=gateway_lost,router=a}"] == 2
    assert found["havrrpd_resignations_total{cause=drained,router=a}"] == 0
    assert found["havrrpd_vrrp_priority{router=a,vrrp_instance=VR_1}"] == 50
    assert found["havrrpd_vrrp_effective_priority{router=a,vrrp_instance=VR_1}"] == 40


def test_the_node_as_a_whole_is_shown_without_any_router() -> None:
    found = samples(node())
    assert found == {
        "havrrpd_build_info{version=9.9}": 1,
        "havrrpd_draining": 0,
        "havrrpd_unprotected_routers": 1,
        "process_cpu_seconds_total": 7.5,
        "process_resident_memory_bytes": 50e6,
        "process_open_fds": 30,
        "process_max_fds": 1024,
        "process_start_time_seconds": 1_699_998_000.0,
        "havrrpd_source_stalled{source=netlink}": 0,
        "havrrpd_source_stalled{source=notify}": 1,
        "havrrpd_netlink_overruns_total": 2,
        "havrrpd_notify_lines_total{outcome=malformed}": 1,
        "havrrpd_notify_lines_total{outcome=state}": 7,
        "havrrpd_adverts_rejected_total{reason=checksum}": 3,
        "havrrpd_web_refused_total{reason=client_rate}": 4,
        **{
            f"havrrpd_event_loop_lag_seconds_bucket{{le={bound}}}": count
            for bound, count in {
                "0.001": 1,
                "0.005": 2,
                **dict.fromkeys(("0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5"), 3),
                "+Inf": 4,
            }.items()
        },
        "havrrpd_event_loop_lag_seconds_count": 4,
        "havrrpd_event_loop_lag_seconds_sum": 3.5,
        "havrrpd_config_last_reload_successful": 1,
        "havrrpd_config_last_reload_success_timestamp_seconds": 1_699_999_000.0,
    }


def test_no_label_is_named_like_those_that_prometheus_and_its_users_add() -> None:
    body, _ = render(node(ROUTER), TEXT)
    assert set(re.findall(r"[{,](\w+)=", body.decode())).isdisjoint({"instance", "node", "job"})


def test_every_family_says_what_it_is() -> None:
    body, _ = render(node(ROUTER), TEXT)
    families = list(text_format(body.decode()))
    assert all(family.documentation.endswith(".") for family in families)
    assert all(family.type in ("gauge", "counter", "histogram") for family in families)


def test_openmetrics_is_given_to_those_who_ask_for_it() -> None:
    body, content_type = render(node(ROUTER), OPEN)
    assert content_type.startswith("application/openmetrics-text")
    text = body.decode()
    assert text.endswith("# EOF\n")
    assert "# TYPE havrrpd_vrrp_transitions counter\n" in text
    assert render(node(ROUTER), TEXT)[1].startswith("text/plain")


def test_names_with_quotes_backslashes_and_newlines_come_through() -> None:
    odd = 'a"b\\c\nd'
    router = replace(
        ROUTER, id=odd, instances=(replace(VR_1, config=replace(VR_1.config, name=odd)),)
    )
    for accept, parse in ((TEXT, text_format), (OPEN, open_format)):
        body, _ = render(node(router), accept)
        labels = [
            sample.labels
            for family in parse(body.decode())
            for sample in family.samples
            if sample.name == "havrrpd_vrrp_priority"
        ]
        assert labels == [{"router": odd, "vrrp_instance": odd}]


def test_a_thousand_routers_are_rendered_in_slices() -> None:
    many = node(*(replace(ROUTER, id=f"r{number}") for number in range(1000)))
    rendering = Rendering(many, TEXT)
    assert sum(1 for _ in rendering.slices()) == 1000 / ROUTERS_A_SLICE
    assert rendering.body() == render(many, TEXT)[0]
    assert rendering.body().count(b"\nhavrrpd_keepalived_up{") == 1000
