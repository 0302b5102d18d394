"""Whether all is well in a lab: who is MASTER of what, as every havrrpd of it says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from havrrpd.lab.lab import Lab
from havrrpd.lab.table import Status, statuses
from havrrpd.lab.waiting import LabError, wait_until

STEADY_LIMIT = 30.0  # seconds: havrrpd starts, keepalived is found, one election
_EVERY = 0.2  # seconds: each look asks every havrrpd for all that it knows


def wait_steady(lab: Lab, limit: float = STEADY_LIMIT) -> dict[str, str]:
    """Wait until nothing is wrong anywhere; the MASTER of each router, by the router's id."""
    what = "one MASTER with its gateways for each router"
    return wait_until(lambda: masters(lab), limit, what, _EVERY)


def masters(lab: Lab) -> dict[str, str]:
    """The MASTER of each router; LabError with the first thing that is wrong on a living node."""
    living = {name for name in lab.names if lab.node(name).alive}
    seen = {name: status for name, status in statuses(lab).items() if name in living}
    for name, status in seen.items():
        _complain(lab, name, status)
    return {router.id: _master(router.id, seen) for router in lab.routers}


def router_at(lab: Lab, name: str, router: str) -> dict[str, Any]:
    """What a node says of one router; LabError when it does not know it, or no instance of it."""
    shown = lab.node(name).status(router)
    if not shown["instances"]:
        raise LabError(f"{name} knows no instance of {router}")
    return shown


def _complain(lab: Lab, name: str, status: Status | None) -> None:
    if status is None:
        raise LabError(f"havrrpd of {name} does not answer")
    if len(status["routers"]) != len(lab.routers):
        raise LabError(f"{name} knows {len(status['routers'])} of {len(lab.routers)} routers")
    for router in status["routers"]:
        what = f"{router['router'][:8]} on {name}"
        if not router["instances"] or router["state"] not in ("MASTER", "BACKUP"):
            raise LabError(f"{what} is {router['state']}")
        problems = {*router["problems"], *router["instances"][0]["problems"]}
        if problems:
            raise LabError(f"{what}: {', '.join(sorted(problems))}")
        if router["state"] == "MASTER" and router["connectivity"] != "reachable":
            raise LabError(f"{what}: gateways {router['connectivity']}")


def _master(router: str, seen: Mapping[str, Status | None]) -> str:
    found = [
        name
        for name, status in seen.items()
        for shown in (status or {"routers": []})["routers"]
        if shown["router"] == router and shown["state"] == "MASTER"
    ]
    if len(found) != 1:
        raise LabError(f"MASTER of {router[:8]}: {', '.join(found) or 'nobody'}")
    return found[0]
