"""The node as Prometheus metrics: computed from a snapshot at each scrape, never kept.

A router that is gone leaves no series. What can be listed before it happens is there from the
start with the value 0, so that the first occurrence is an increase.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import islice

from havrrpd.core.model import Cause, Gateway, Instance, Outcome, Problem, Router, State, Verdict
from havrrpd.core.node import LAG_BUCKETS, Node
from havrrpd.views.exposition import Family, Kind, content_type, escaped, text
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

ROUTERS_A_SLICE = 50

OF_INSTANCE = ("router", "vrrp_instance")
OF_GATEWAY = ("router", "gateway", "family")


def render(node: Node, accept: str) -> tuple[bytes, str]:
    """The metrics and their content type: OpenMetrics where `accept` asks for it, else text."""
    rendering = Rendering(node, accept)
    for _ in rendering.slices():
        pass
    return rendering.body(), rendering.content_type


def families() -> tuple[Family, ...]:
    """Every metric there is, without its samples."""
    return tuple(vars(_Families()).values())


class Rendering:
    """One scrape, in slices: the loop turns between two of them. A router takes 40 us."""

    def __init__(self, node: Node, accept: str) -> None:
        self.content_type = content_type(accept)
        self._node = node
        self._families = _Families()

    def slices(self) -> Iterator[None]:
        """To be gone through to the end."""
        _add_node(self._families, self._node)
        routers = (self._node.routers[router_id] for router_id in sorted(self._node.routers))
        while some := list(islice(routers, ROUTERS_A_SLICE)):
            for router in some:
                _add_router(self._families, self._node, router)
            yield

    def body(self) -> bytes:
        return text(vars(self._families).values(), self.content_type)


class _Families:
    """Every metric, in the order in which it is shown."""

    def __init__(self) -> None:
        gauge, counter = partial(Family, Kind.GAUGE), partial(Family, Kind.COUNTER)
        self.build = gauge(
            "havrrpd_build_info", "The version of havrrpd; always 1.", labels=("version",)
        )
        self.draining = gauge("havrrpd_draining", "Whether this node gives its routers away.")
        self.unprotected = gauge(
            "havrrpd_unprotected_routers", "Namespaces of routers in which no keepalived runs."
        )
        self.cpu = counter("process_cpu_seconds", "User and system CPU time, in seconds.")
        self.memory = gauge("process_resident_memory_bytes", "Resident memory, in bytes.")
        self.descriptors = gauge("process_open_fds", "Descriptors that are open.")
        self.most_descriptors = gauge("process_max_fds", "Descriptors that may be open.")
        self.started_at = gauge("process_start_time_seconds", "When the process started.")
        self.stalled = gauge(
            "havrrpd_source_stalled",
            "Whether the source makes no progress: what it should see is not seen.",
            labels=("source",),
        )
        self.overruns = counter(
            "havrrpd_netlink_overruns",
            "Times that the kernel had more to tell than was read, and everything was listed"
            " again.",
        )
        self.lines = counter(
            "havrrpd_notify_lines",
            "Lines read from keepalived's notify FIFOs.",
            labels=("outcome",),
        )
        self.rejected = counter(
            "havrrpd_adverts_rejected", "Adverts that were dropped unread.", labels=("reason",)
        )
        self.refused = counter(
            "havrrpd_web_refused",
            "Requests and connections that the web server refused, or gave up.",
            labels=("reason",),
        )
        self.lag = Family(
            Kind.HISTOGRAM, "havrrpd_event_loop_lag_seconds", "How late the event loop came round."
        )
        self.reload_successful = gauge(
            "havrrpd_config_last_reload_successful",
            "Whether the last attempt to load the configuration succeeded.",
        )
        self.reloaded_at = gauge(
            "havrrpd_config_last_reload_success_timestamp_seconds",
            "When the configuration in force was loaded.",
        )
        self.state = gauge(
            "havrrpd_vrrp_state",
            "1 for the state that the instance is in, 0 for the others.",
            labels=(*OF_INSTANCE, "vrid", "state"),
        )
        self.problem = gauge(
            "havrrpd_vrrp_problem",
            "1 for a problem that is there, 0 for the others; a router's is on all its instances.",
            labels=(*OF_INSTANCE, "problem"),
        )
        self.transitions = counter(
            "havrrpd_vrrp_transitions",
            "Transitions of the instance, by the state it came to and why.",
            labels=(*OF_INSTANCE, "to", "cause"),
        )
        self.last_transition = gauge(
            "havrrpd_vrrp_last_transition_timestamp_seconds",
            "When the instance last changed its state; 0: not since havrrpd started.",
            labels=OF_INSTANCE,
        )
        self.up = gauge(
            "havrrpd_keepalived_up", "Whether the router's keepalived runs.", labels=("router",)
        )
        self.priority = gauge(
            "havrrpd_vrrp_priority", "The configured priority of the instance.", labels=OF_INSTANCE
        )
        self.effective_priority = gauge(
            "havrrpd_vrrp_effective_priority",
            "The priority of the instance as the lever leaves it.",
            labels=OF_INSTANCE,
        )
        self.masters = gauge(
            "havrrpd_vrrp_masters_heard", "Other nodes heard as MASTER.", labels=OF_INSTANCE
        )
        self.adverts = counter(
            "havrrpd_vrrp_adverts", "Adverts seen on the wire.", labels=(*OF_INSTANCE, "direction")
        )
        self.reachable = gauge(
            "havrrpd_gateway_reachable",
            "Whether the gateway is reachable; absent while it is not checked.",
            labels=OF_GATEWAY,
        )
        self.rtt = gauge(
            "havrrpd_gateway_rtt_seconds", "The last reply's round-trip time.", labels=OF_GATEWAY
        )
        self.probes = counter(
            "havrrpd_gateway_probes",
            "Probes of the gateway; without a reply `method` names all that were tried.",
            labels=(*OF_GATEWAY, "method", "outcome"),
        )
        self.resignations = counter(
            "havrrpd_resignations",
            "Times that this node gave the MASTER role of the router up on purpose.",
            labels=("router", "cause"),
        )
        self.tried = gauge(
            "havrrpd_election_tried",
            "Whether this node had its turn in the present round, and failed.",
            labels=("router",),
        )
        self.turns = counter(
            "havrrpd_election_turns", "Turns as MASTER without gateways.", labels=("router",)
        )


def _add_node(to: _Families, node: Node) -> None:
    to.build.add((escaped(node.version),), 1)
    to.draining.set(node.draining)
    to.unprotected.set(len(node.unprotected))
    to.cpu.set(node.usage.cpu_seconds)
    to.memory.set(node.usage.resident_bytes)
    to.descriptors.set(node.usage.open_descriptors)
    to.most_descriptors.set(node.usage.most_descriptors)
    to.started_at.set(node.usage.started_at)
    for source in node.sources:
        to.stalled.add((source,), source in node.stalled_sources)
    to.overruns.set(node.counters.netlink_overruns)
    for outcome, count in sorted(node.counters.notify_lines.items()):
        to.lines.add((escaped(outcome),), count)
    for reason, count in sorted(node.counters.adverts_rejected.items()):
        to.rejected.add((escaped(reason),), count)
    for reason, count in sorted(node.counters.web_refused.items()):
        to.refused.add((escaped(reason),), count)
    lag = node.loop_lag
    buckets = [(str(bound), count) for bound, count in zip(LAG_BUCKETS, lag.counts, strict=True)]
    to.lag.add_buckets([*buckets, ("+Inf", lag.count)], lag.total_seconds)
    to.reload_successful.set(node.config_reload_successful)
    to.reloaded_at.set(node.config_reloaded_at)


def _add_router(to: _Families, node: Node, router: Router) -> None:
    own = (escaped(router.id),)
    to.up.add(own, router.pid is not None)
    if not router.instances:
        _add_problems(to, (*own, ""), router.problems)
    for instance in router.instances:
        labels = (*own, escaped(instance.config.name))
        _add_states(to, labels, node, router, instance)
        _add_adverts(to, labels, router, instance)
    _add_gateways(to, router)
    _add_election(to, own, router)


def _add_states(
    to: _Families, labels: tuple[str, str], node: Node, router: Router, instance: Instance
) -> None:
    vrid, at = str(instance.config.vrid), instance.last_transition
    for each in State:
        to.state.add((*labels, vrid, each), instance.state is each)
    _add_problems(to, labels, router.problems | instance.problems)
    counts = {(state, why): 0 for state, causes in TRANSITION_CAUSES.items() for why in causes}
    counts |= {(state, why): count for state, why, count in instance.transitions}
    for (state, why), count in counts.items():
        to.transitions.add((*labels, state, why), count)
    to.last_transition.add(labels, 0 if at is None else node.wall(at.at))


def _add_problems(to: _Families, labels: tuple[str, str], problems: frozenset[Problem]) -> None:
    for problem in Problem:
        to.problem.add((*labels, problem), problem in problems)


def _add_adverts(
    to: _Families, labels: tuple[str, str], router: Router, instance: Instance
) -> None:
    to.priority.add(labels, instance.config.priority)
    to.effective_priority.add(labels, priority_in_use(router, instance))
    to.masters.add(labels, len(instance.masters))
    to.adverts.add((*labels, "sent"), instance.adverts_sent)
    to.adverts.add((*labels, "heard"), instance.adverts_heard)


def _add_gateways(to: _Families, router: Router) -> None:
    for check in router.checks:
        labels = _gateway_labels(router, check.gateway)
        if check.verdict is not Verdict.UNCHECKED:
            to.reachable.add(labels, check.verdict is Verdict.REACHABLE)
        if check.rtt_seconds is not None:
            to.rtt.add(labels, check.rtt_seconds)
    series: Counter[tuple[str, ...]] = Counter()
    for (gateway, method, outcome), count in _probes(router).items():
        series[*_gateway_labels(router, gateway), method, outcome] += count
    for probe_labels, count in series.items():
        to.probes.add(probe_labels, count)


def _add_election(to: _Families, own: tuple[str], router: Router) -> None:
    counts = dict.fromkeys(RESIGNATION_CAUSES, 0) | dict(router.election.resignations)
    for cause, count in counts.items():
        to.resignations.add((*own, cause), count)
    to.tried.add(own, router.election.tried)
    to.turns.add(own, router.election.turns_total)


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
    return (escaped(router.id), escaped(name), f"ipv{address.version}")
