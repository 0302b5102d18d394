"""Whether a MASTER reaches its gateways: what to probe, when, and what follows.

`fall` failures in a row lose a gateway, `rise` successes restore it. While the last probes speak
against the verdict, or have not been answered yet, the next one follows at `retry_interval`: so a
loss is known (fall - 1) x retry_interval + timeout after the first missed probe. Only a MASTER
probes; a node that loses the role forgets what it knew.

Only a deadline sends probes, and deadlines come behind everything that was heard: where each event
sent what is due, a node that is behind would ask again for each answer that waits, and stay behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv6Address

from msgspec.structs import replace

from havrrpd.core.messages import (
    Action,
    AdvertHeard,
    AdvertSent,
    DeadlinePassed,
    DefaultRoutesListed,
    Event,
    GatewayProbed,
    ListDefaultRoutes,
    ProbeGateway,
    StopProbing,
)
from havrrpd.core.model import (
    Gateway,
    GatewayCheck,
    HealthCheck,
    IPAddress,
    IPInterface,
    Outcome,
    Router,
    State,
    Verdict,
)
from havrrpd.core.wire import adverts_stopped_at

# What comes all the time says nothing of which gateways and addresses there are.
_CHANGES_NO_GATEWAY = (DeadlinePassed, AdvertSent, AdvertHeard)
ROUTES_INTERVAL = 10.0  # seconds between two looks at the default routes


def step(router: Router, event: Event, now: float) -> tuple[Router, tuple[Action, ...]]:
    """The router after its gateways had their say, and the probes that are due."""
    if isinstance(event, GatewayProbed):
        router = _counted(router, event)
    if not _may_probe(router, now):
        return _stopped(router)
    health_check = router.settings.health_check
    if isinstance(event, GatewayProbed):
        checks = tuple(_judged(check, event, health_check, now) for check in router.checks)
        return _with_checks(router, checks), ()
    if isinstance(event, DefaultRoutesListed):
        router = replace(router, default_gateways=event.gateways)
    unchanged = router.checks and isinstance(event, _CHANGES_NO_GATEWAY)
    listing: tuple[Action, ...] = ()
    if not unchanged or router.routes_due is not None:
        router, listing = _list_routes_if_due(router, now)
    checks = router.checks if unchanged else _wanted_checks(router, now)
    probes: tuple[Action, ...] = ()
    if isinstance(event, DeadlinePassed):
        checks, probes = _due_probes(router, checks, now)
    return _with_checks(router, checks), (*listing, *probes)


def _with_checks(router: Router, checks: tuple[GatewayCheck, ...]) -> Router:
    verdict = connectivity(checks, router.settings.health_check.require)
    if checks == router.checks and verdict is router.connectivity:
        return router
    return replace(router, checks=checks, connectivity=verdict)


def deadlines(router: Router) -> Iterator[float]:
    yield from (check.due for check in router.checks)
    if router.routes_due is not None:
        yield router.routes_due


def connectivity(checks: tuple[GatewayCheck, ...], require: str) -> Verdict:
    """The verdict on all gateways together. require "all": one lost gateway loses the router."""
    verdicts = {check.verdict for check in checks}
    if len(verdicts) == 1:
        return verdicts.pop()
    decisive = Verdict.LOST if require == "all" else Verdict.REACHABLE
    return decisive if decisive in verdicts else Verdict.UNCHECKED


def restored(router: Router) -> bool:
    """Whether the gateways have answered `rise` times in a row, as many of them as required."""
    rise = router.settings.health_check.rise
    enough = all if router.settings.health_check.require == "all" else any
    return router.connectivity is Verdict.REACHABLE and enough(
        check.successes_in_a_row >= rise for check in router.checks
    )


def gateways_of(router: Router) -> tuple[Gateway, ...]:
    """Those configured, else the next hops of virtual_routes, else the default routes."""
    return _named_gateways(router) or router.default_gateways


def _named_gateways(router: Router) -> tuple[Gateway, ...]:
    """Those that somebody wrote down."""
    if configured := router.settings.health_check.gateways:
        return tuple(_configured_gateway(router, address) for address in configured)
    hops = {
        Gateway(route.via, route.interface or _interface_towards(router, route.via)): None
        for instance in router.instances
        for route in instance.config.virtual_routes
        if route.via is not None
    }
    return tuple(hops)


def _configured_gateway(router: Router, address: IPAddress) -> Gateway:
    """An IPv6 address can name its interface: fe80::1%eth0."""
    if isinstance(address, IPv6Address) and address.scope_id:
        return Gateway(IPv6Address(int(address)), address.scope_id)
    return Gateway(address, _interface_towards(router, address))


def _may_probe(router: Router, now: float) -> bool:
    """Only a MASTER that sends adverts: a hung one holds the addresses, and another node serves."""
    if router.settings.health_check.interval == 0 or router.state is not State.MASTER:
        return False
    if not router.wire_watched:
        return True
    return all(now < adverts_stopped_at(router, instance) for instance in router.instances)


def _stopped(router: Router) -> tuple[Router, tuple[Action, ...]]:
    if not router.checks and not router.default_gateways and router.routes_due is None:
        return router, ()
    silent = replace(
        router,
        checks=(),
        default_gateways=(),
        routes_due=None,
        connectivity=Verdict.UNCHECKED,
    )
    return silent, (StopProbing(),)


def _counted(router: Router, event: GatewayProbed) -> Router:
    key = (event.gateway, event.method, event.outcome)
    return replace(router, probes={**router.probes, key: router.probes.get(key, 0) + 1})


def _list_routes_if_due(router: Router, now: float) -> tuple[Router, tuple[Action, ...]]:
    if _named_gateways(router):
        return replace(router, routes_due=None) if router.routes_due is not None else router, ()
    if router.routes_due is not None and now < router.routes_due:
        return router, ()
    return replace(router, routes_due=now + ROUTES_INTERVAL), (ListDefaultRoutes(),)


def _wanted_checks(router: Router, now: float) -> tuple[GatewayCheck, ...]:
    known = {check.gateway: check for check in router.checks}
    wanted = (
        known.get(g) or _carried_over(g, router.checks) or GatewayCheck(g, due=now)
        for g in gateways_of(router)
    )
    return tuple(replace(check, source=None) if check.source else check for check in wanted)


def _carried_over(gateway: Gateway, checks: tuple[GatewayCheck, ...]) -> GatewayCheck | None:
    """The same gateway, whose interface was found, or can't be found while its address is gone."""
    for check in checks:
        if check.gateway.address == gateway.address and check.gateway.interface is None:
            return replace(check, gateway=gateway)
        if check.gateway.address == gateway.address and gateway.interface is None:
            return check
    return None


def _due_probes(
    router: Router, checks: tuple[GatewayCheck, ...], now: float
) -> tuple[tuple[GatewayCheck, ...], tuple[Action, ...]]:
    health_check = router.settings.health_check
    kept, probes = [], []
    for check in checks:
        if now < check.due:
            kept.append(check)
            continue
        wait = _until_next(check, health_check)
        source = check.source or _source_for(router, check.gateway)
        # not since it was due: we may be late
        kept.append(replace(check, due=now + wait, source=source))
        probes.append(
            ProbeGateway(check.gateway, source, health_check.timeout, health_check.methods)
        )
    return tuple(kept), tuple(probes)


def _until_next(check: GatewayCheck, health_check: HealthCheck) -> float:
    """From an unanswered probe to the next one."""
    settled = check.verdict is Verdict.LOST and check.successes_in_a_row == 0
    quick = min(health_check.retry_interval, health_check.interval)
    return health_check.interval if settled else quick


def _judged(
    check: GatewayCheck, event: GatewayProbed, health_check: HealthCheck, now: float
) -> GatewayCheck:
    if event.gateway != check.gateway or event.outcome is Outcome.DISCARDED:
        return check
    if event.outcome is Outcome.REPLY:
        return _answered(check, event, health_check, now)
    if event.sent_at < check.answered:  # a later probe was answered already
        return check
    failures = check.failures_in_a_row + 1
    return replace(
        check,
        verdict=Verdict.LOST if failures >= health_check.fall else check.verdict,
        failures_in_a_row=failures,
        successes_in_a_row=0,
        checked_at=now,
    )


def _answered(
    check: GatewayCheck, event: GatewayProbed, health_check: HealthCheck, now: float
) -> GatewayCheck:
    successes = check.successes_in_a_row + 1
    back = check.verdict is not Verdict.LOST or successes >= health_check.rise
    return replace(
        check,
        verdict=Verdict.REACHABLE if back else Verdict.LOST,
        failures_in_a_row=0,
        successes_in_a_row=successes,
        method=event.method,
        rtt_seconds=event.rtt_seconds,
        checked_at=now,
        answered=max(event.sent_at, check.answered),
        due=event.sent_at + health_check.interval if back else check.due,
    )


def _interface_towards(router: Router, address: IPAddress) -> str | None:
    """The interface on whose network the address is, by what keepalived or the kernel gave it."""
    configured = (
        (virtual.interface, virtual.address)
        for instance in router.instances
        for virtual in instance.config.virtual_addresses
    )
    for interface, own in (*configured, *router.addresses):
        if address in own.network and own.network.prefixlen < own.max_prefixlen:
            return interface
    return None


def _source_for(router: Router, gateway: Gateway) -> IPInterface | None:
    """An address to ask from: on the gateway's network if there is one, else on its interface."""
    own = [
        address
        for interface, address in router.addresses
        if gateway.interface in (interface, None) and address.version == gateway.address.version
    ]
    near = [address for address in own if gateway.address in address.network]
    if gateway.interface is None:
        return min(near, default=None)
    return min(near or own, default=None)
