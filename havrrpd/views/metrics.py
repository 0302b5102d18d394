"""The node as Prometheus metrics: computed from a snapshot at each scrape, never kept.

A router that is gone leaves no series. What can be listed before it happens is there from the
start with the value 0, so that the first occurrence is an increase.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector, CollectorRegistry

from havrrpd.core.model import Cause, Gateway, Outcome, Problem, Router, State, Verdict
from havrrpd.core.node import LAG_BUCKETS, Histogram, Node
from havrrpd.views.status import priority_in_use

RESIGNATION_CAUSES = (
    Cause.GATEWAY_LOST,
    Cause.LINK_DOWN,
    Cause.DRAINED,
    Cause.FAILOVER_REQUESTED,
)

# What can explain each transition; a pair that is not here has its series once it happened. All
# 60 pairs of each instance would be most of what a node with many routers has to tell.
TRANSITION_CAUSES = {
    State.STOPPED: (Cause.KEEPALIVED_STOPPED, Cause.KEEPALIVED_DIED, Cause.UNKNOWN),
    State.MASTER: (
        Cause.PEER_RESIGNED,
        Cause.PEER_SILENT,
        Cause.PREEMPTED,
        Cause.STARTED,
        Cause.UNKNOWN,
    ),
    State.FAULT: (
        *RESIGNATION_CAUSES,
        Cause.ADDRESS_REMOVED,
        Cause.STARTED,
        Cause.UNKNOWN,
    ),
    State.BACKUP: (
        *RESIGNATION_CAUSES,
        Cause.ADDRESS_REMOVED,
        Cause.PREEMPTED,
        Cause.STARTED,
        Cause.UNKNOWN,
    ),
}

OF_INSTANCE = ("router", "vrrp_instance")
OF_GATEWAY = ("router", "gateway", "family")


def render(node: Node, accept: str) -> tuple[bytes, str]:
    """The metrics and their content type: OpenMetrics where `accept` asks for it, else text."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(NodeCollector(lambda: node))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


class NodeCollector(Collector):
    """Yields every metric of the node as it is at the moment of the scrape."""

    def __init__(self, snapshot: Callable[[], Node]) -> None:
        self._snapshot = snapshot

    def describe(self) -> list[Metric]:
        return []  # otherwise registering would collect once

    def collect(self) -> Iterator[Metric]:
        node = self._snapshot()
        routers = [node.routers[router_id] for router_id in sorted(node.routers)]
        yield from _of_node(node)
        yield from _of_states(node, routers)
        yield from _of_adverts(routers)
        yield from _of_gateways(routers)
        yield from _of_elections(routers)


def _of_node(node: Node) -> Iterator[Metric]:
    build = GaugeMetricFamily(
        "havrrpd_build_info", "The version of havrrpd; always 1.", labels=("version",)
    )
    build.add_metric((node.version,), 1)
    yield build
    yield GaugeMetricFamily(
        "havrrpd_draining", "Whether this node gives its routers away.", value=node.draining
    )
    yield GaugeMetricFamily(
        "havrrpd_unprotected_routers",
        "Namespaces of routers in which no keepalived runs.",
        value=len(node.unprotected),
    )
    yield CounterMetricFamily(
        "havrrpd_netlink_overruns",
        "Times that the kernel had more to tell than was read, and everything was listed again.",
        value=node.counters.netlink_overruns,
    )
    lines = CounterMetricFamily(
        "havrrpd_notify_lines", "Lines read from keepalived's notify FIFOs.", labels=("outcome",)
    )
    for outcome, count in sorted(node.counters.notify_lines.items()):
        lines.add_metric((outcome,), count)
    yield lines
    rejected = CounterMetricFamily(
        "havrrpd_adverts_rejected", "Adverts that were dropped unread.", labels=("reason",)
    )
    for reason, count in sorted(node.counters.adverts_rejected.items()):
        rejected.add_metric((reason,), count)
    yield rejected
    yield _lag(node.loop_lag)
    yield GaugeMetricFamily(
        "havrrpd_config_last_reload_successful",
        "Whether the last attempt to load the configuration succeeded.",
        value=node.config_reload_successful,
    )
    yield GaugeMetricFamily(
        "havrrpd_config_last_reload_success_timestamp_seconds",
        "When the configuration in force was loaded.",
        value=node.config_reloaded_at,
    )


def _lag(lag: Histogram) -> Metric:
    buckets = [(str(bound), count) for bound, count in zip(LAG_BUCKETS, lag.counts, strict=True)]
    return HistogramMetricFamily(
        "havrrpd_event_loop_lag_seconds",
        "How late the event loop came round.",
        buckets=[*buckets, ("+Inf", lag.count)],
        sum_value=lag.total_seconds,
    )


def _of_states(node: Node, routers: list[Router]) -> Iterator[Metric]:
    state = GaugeMetricFamily(
        "havrrpd_vrrp_state",
        "1 for the state that the instance is in, 0 for the others.",
        labels=(*OF_INSTANCE, "vrid", "state"),
    )
    problem = GaugeMetricFamily(
        "havrrpd_vrrp_problem",
        "1 for a problem that is there, 0 for the others; a router's is on all its instances.",
        labels=(*OF_INSTANCE, "problem"),
    )
    transitions = CounterMetricFamily(
        "havrrpd_vrrp_transitions",
        "Transitions of the instance, by the state it came to and why.",
        labels=(*OF_INSTANCE, "to", "cause"),
    )
    last = GaugeMetricFamily(
        "havrrpd_vrrp_last_transition_timestamp_seconds",
        "When the instance last changed its state; 0: not since havrrpd started.",
        labels=OF_INSTANCE,
    )
    up = GaugeMetricFamily(
        "havrrpd_keepalived_up", "Whether the router's keepalived runs.", labels=("router",)
    )
    for router in routers:
        up.add_metric((router.id,), router.pid is not None)
        if not router.instances:
            _add_problems(problem, router.id, "", router.problems)
        for instance in router.instances:
            name, at = instance.config.name, instance.last_transition
            for each in State:
                labels = (router.id, name, str(instance.config.vrid), each)
                state.add_metric(labels, instance.state is each)
            _add_problems(problem, router.id, name, router.problems | instance.problems)
            counts = {(to, why): 0 for to, causes in TRANSITION_CAUSES.items() for why in causes}
            counts |= {(to, why): count for to, why, count in instance.transitions}
            for (to, why), count in counts.items():
                transitions.add_metric((router.id, name, to, why), count)
            last.add_metric((router.id, name), 0 if at is None else node.wall(at.at))
    yield from (state, problem, transitions, last, up)


def _add_problems(
    family: GaugeMetricFamily, router_id: str, instance: str, problems: frozenset[Problem]
) -> None:
    for problem in Problem:
        family.add_metric((router_id, instance, problem), problem in problems)


def _of_adverts(routers: list[Router]) -> Iterator[Metric]:
    base = GaugeMetricFamily(
        "havrrpd_vrrp_priority", "The configured priority of the instance.", labels=OF_INSTANCE
    )
    effective = GaugeMetricFamily(
        "havrrpd_vrrp_effective_priority",
        "The priority of the instance as the lever leaves it.",
        labels=OF_INSTANCE,
    )
    masters = GaugeMetricFamily(
        "havrrpd_vrrp_masters_heard", "Other nodes heard as MASTER.", labels=OF_INSTANCE
    )
    adverts = CounterMetricFamily(
        "havrrpd_vrrp_adverts", "Adverts seen on the wire.", labels=(*OF_INSTANCE, "direction")
    )
    for router in routers:
        for instance in router.instances:
            labels = (router.id, instance.config.name)
            base.add_metric(labels, instance.config.priority)
            effective.add_metric(labels, priority_in_use(router, instance))
            masters.add_metric(labels, len(instance.masters))
            adverts.add_metric((*labels, "sent"), instance.adverts_sent)
            adverts.add_metric((*labels, "heard"), instance.adverts_heard)
    yield from (base, effective, masters, adverts)


def _of_gateways(routers: list[Router]) -> Iterator[Metric]:
    reachable = GaugeMetricFamily(
        "havrrpd_gateway_reachable",
        "Whether the gateway is reachable; absent while it is not checked.",
        labels=OF_GATEWAY,
    )
    rtt = GaugeMetricFamily(
        "havrrpd_gateway_rtt_seconds", "The last reply's round-trip time.", labels=OF_GATEWAY
    )
    probes = CounterMetricFamily(
        "havrrpd_gateway_probes",
        "Probes of the gateway; without a reply `method` names all that were tried.",
        labels=(*OF_GATEWAY, "method", "outcome"),
    )
    for router in routers:
        for check in router.checks:
            labels = _gateway_labels(router, check.gateway)
            if check.verdict is not Verdict.UNCHECKED:
                reachable.add_metric(labels, check.verdict is Verdict.REACHABLE)
            if check.rtt_seconds is not None:
                rtt.add_metric(labels, check.rtt_seconds)
        series: Counter[tuple[str, ...]] = Counter()
        for (gateway, method, outcome), count in _probes(router).items():
            series[*_gateway_labels(router, gateway), method, outcome] += count
        for probe_labels, count in series.items():
            probes.add_metric(probe_labels, count)
    yield from (reachable, rtt, probes)


def _probes(router: Router) -> dict[tuple[Gateway, str, Outcome], int]:
    """The counts, and a 0 for each outcome that the configured methods can have."""
    counts: dict[tuple[Gateway, str, Outcome], int] = {}
    for gateway in [check.gateway for check in router.checks]:
        methods = [_method(gateway, method) for method in router.settings.health_check.methods]
        counts |= {(gateway, method, Outcome.REPLY): 0 for method in methods}
        failed = (Outcome.TIMEOUT, Outcome.ERROR, Outcome.DISCARDED)
        counts |= {(gateway, "+".join(methods), outcome): 0 for outcome in failed}
    return counts | dict(router.probes)


def _method(gateway: Gateway, method: str) -> str:
    return "ndp" if method == "arp" and gateway.address.version == 6 else method


def _gateway_labels(router: Router, gateway: Gateway) -> tuple[str, str, str]:
    """With the interface where the address alone can be on several: two series must differ."""
    address, interface = gateway.address, gateway.interface
    ambiguous = interface is not None and any(
        check.gateway.address == address and check.gateway.interface != interface
        for check in router.checks
    )
    scoped = address.is_link_local and interface is not None and "%" not in str(address)
    name = f"{address}%{interface}" if scoped or ambiguous else str(address)
    return (router.id, name, f"ipv{address.version}")


def _of_elections(routers: list[Router]) -> Iterator[Metric]:
    resignations = CounterMetricFamily(
        "havrrpd_resignations",
        "Times that this node gave the MASTER role of the router up on purpose.",
        labels=("router", "cause"),
    )
    tried = GaugeMetricFamily(
        "havrrpd_election_tried",
        "Whether this node had its turn in the present round, and failed.",
        labels=("router",),
    )
    turns = CounterMetricFamily(
        "havrrpd_election_turns", "Turns as MASTER without gateways.", labels=("router",)
    )
    for router in routers:
        counts = dict.fromkeys(RESIGNATION_CAUSES, 0) | dict(router.election.resignations)
        for cause, count in counts.items():
            resignations.add_metric((router.id, cause), count)
        tried.add_metric((router.id,), router.election.tried)
        turns.add_metric((router.id,), router.election.turns_total)
    yield from (resignations, tried, turns)
