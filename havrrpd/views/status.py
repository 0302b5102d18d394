"""The node as the JSON of /status: plain values, computed from a snapshot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache

from havrrpd.core.explain import explain
from havrrpd.core.model import (
    GatewayCheck,
    Instance,
    MasterHeard,
    Problem,
    Router,
    State,
    Transition,
    VirtualAddress,
)
from havrrpd.core.node import Node, OddAdvert
from havrrpd.core.priority import effective_priority
from havrrpd.core.witnesses import presence
from havrrpd.views.documents import (
    UNWATCHED,
    ExplainedRouter,
    GatewayStatus,
    InstanceStatus,
    LastTransition,
    NodeHead,
    NodeStatus,
    OddAdvertStatus,
    OtherMaster,
    RouterStatus,
    Summary,
    VirtualAddressStatus,
    Wire,
    Witnesses,
)

SLICE = 50  # routers, about 5 ms


def status(node: Node) -> NodeStatus:
    """The whole node: the shape of GET /status."""
    return with_routers(node, [router for some in slices(node) for router in some])


def slices(node: Node) -> Iterator[list[RouterStatus]]:
    """The routers, some at a time, so that others on the loop get their turn."""
    ids = sorted(node.routers)
    for first in range(0, len(ids), SLICE):
        yield [plain_router(node, each) for each in ids[first : first + SLICE]]


def with_routers(node: Node, routers: list[RouterStatus]) -> NodeStatus:
    """The whole node, with what all its `slices` gave."""
    return {
        **head(node),
        "routers": routers,
        "unprotected": [
            {"router": each.router, "namespace": each.namespace} for each in node.unprotected
        ],
    }


def plain_router(node: Node, router_id: str) -> RouterStatus:
    """One router, as in GET /status; KeyError when it is unknown."""
    return _router(node, node.routers[router_id])


def head(node: Node) -> NodeHead:
    """The node without its routers."""
    return {
        "node": node.name,
        "version": node.version,
        "ready": node.ready,
        "draining": node.draining,
        "uptime_seconds": round(node.now - node.started_at, 3),
        "summary": _summary(node),
    }


def router_status(node: Node, router_id: str) -> ExplainedRouter:
    """One router, explained: the shape of GET /status/{router}; KeyError when it is unknown."""
    router = node.routers[router_id]
    return {**_router(node, router), "explanation": list(explain(router, node.now))}


def _summary(node: Node) -> Summary:
    routers = node.routers.values()
    states = Counter(router.state for router in routers)
    return {
        "routers": len(routers),
        "INIT": states[State.INIT],
        "BACKUP": states[State.BACKUP],
        "MASTER": states[State.MASTER],
        "FAULT": states[State.FAULT],
        "STOPPED": states[State.STOPPED],
        "problems": sum(len(router.all_problems) for router in routers),
        "unprotected": len(node.unprotected),
    }


def _router(node: Node, router: Router) -> RouterStatus:
    election = router.election
    return {
        "router": router.id,
        "namespace": router.namespace,
        "pid": router.pid,
        "state": router.state,
        "problems": _problems(router.all_problems),
        "connectivity": router.connectivity,
        "instances": [_instance(node, router, instance) for instance in router.instances],
        "gateways": [_gateway(node, check) for check in router.checks],
        "odd_adverts": [_odd(node, advert) for advert in node.odd_adverts.get(router.id, ())],
        "election": {
            "phase": election.phase,
            "cause": election.cause,
            "tried": election.tried,
            "turns": election.turns,
            "standing": election.standing,
            "lever": router.lever,
            "observe_only": router.settings.observe_only,
            "uplinks_down": sorted(router.uplinks_down),
        },
    }


def _instance(node: Node, router: Router, instance: Instance) -> InstanceStatus:
    config = instance.config
    last = instance.last_transition
    return {
        "vrrp_instance": config.name,
        "vrid": config.vrid,
        "interface": config.interface,
        "version": config.version,
        "advert_int": config.advert_int,
        "preempt": config.preempt,
        "sync_group": config.sync_group,
        "state": instance.state,
        "since": _time(node, instance.since),
        "problems": _problems(instance.problems),
        "priority": config.priority,
        "effective_priority": priority_in_use(router, instance),
        "virtual_addresses": [_address(instance, a) for a in config.virtual_addresses],
        "witnesses": _witnesses(node, router, instance),
        "masters_heard": [_master(node, master) for master in instance.masters],
        "last_transition": None if last is None else _transition(node, last),
        "transitions": sum(count for _, _, count in instance.transitions),
    }


def priority_in_use(router: Router, instance: Instance) -> int:
    """As the own adverts show it while MASTER, else as the lever leaves it."""
    if instance.state is State.MASTER and instance.priority_seen:
        return instance.priority_seen
    return effective_priority(router, instance)


def _witnesses(node: Node, router: Router, instance: Instance) -> Witnesses:
    return {
        "process": "gone" if router.pid is None else "running",
        "kernel": str(presence(instance)) if router.listed else UNWATCHED,
        "notification": _notification(router, instance),
        "wire": wire(node, router, instance),
    }


def _notification(router: Router, instance: Instance) -> str:
    if not router.notify_watched:
        return UNWATCHED
    return "none" if instance.word is None else str(instance.word)


def wire(node: Node, router: Router, instance: Instance) -> Wire:
    """An advert counts for three intervals, as the protocol has it; what ends the role ends it."""
    if not router.wire_watched:
        return UNWATCHED
    sent_lately = node.now - instance.last_sent <= 3 * instance.config.advert_int
    is_backup = instance.state is State.BACKUP
    left = max(instance.evidence.own_resigned, instance.since if is_backup else 0.0)
    if sent_lately and left < instance.last_sent:
        return "sending"
    heard = any(node.now - m.last_heard <= 3 * m.advert_int for m in instance.masters)
    return "hearing" if heard else "silent"


def _address(instance: Instance, address: VirtualAddress) -> VirtualAddressStatus:
    return {
        "address": str(address.address),
        "interface": address.interface,
        "present": address in instance.present,
    }


def _master(node: Node, master: MasterHeard) -> OtherMaster:
    return {
        "address": str(master.address),
        "priority": master.priority,
        "last_heard_seconds": round(node.now - master.last_heard, 3),
    }


def _odd(node: Node, advert: OddAdvert) -> OddAdvertStatus:
    return {
        "interface": advert.interface,
        "source": str(advert.source),
        "oddities": sorted(advert.oddities),
        "last_heard_seconds": round(node.now - advert.heard_at, 3),
    }


def _transition(node: Node, transition: Transition) -> LastTransition:
    return {
        "from": transition.old,
        "to": transition.new,
        "at": _time(node, transition.at),
        "cause": transition.cause,
    }


def _gateway(node: Node, check: GatewayCheck) -> GatewayStatus:
    address = check.gateway.address
    return {
        "address": str(address),
        "family": "ipv4" if address.version == 4 else "ipv6",
        "interface": check.gateway.interface,
        "verdict": check.verdict,
        "method": check.method,
        "rtt_seconds": check.rtt_seconds,
        "failures_in_a_row": check.failures_in_a_row,
        "checked_at": None if check.checked_at is None else _time(node, check.checked_at),
    }


def _problems(problems: frozenset[Problem]) -> list[Problem]:
    return sorted(problems)


def rfc3339(wall: float) -> str:
    """In UTC, with milliseconds, of seconds since the epoch."""
    second, milliseconds = divmod(int(wall * 1000), 1000)
    return f"{_second(second)}.{milliseconds:03}Z"


@lru_cache(maxsize=256)  # what happens at once has one
def _second(wall: int) -> str:
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _time(node: Node, moment: float) -> str:
    return rfc3339(node.wall(moment))
