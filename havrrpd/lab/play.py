"""The demo that plays by itself: a gateway is lost, the router moves, and then stays put."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from havrrpd.lab.lab import Lab
from havrrpd.lab.network import Network, has_carrier
from havrrpd.lab.table import Status, statuses
from havrrpd.lab.waiting import LabError, wait_until

STEADY_LIMIT = 20.0  # seconds: havrrpd starts, keepalived is found, one election
TAKEOVER_LIMIT = 8.0  # interval 1 + time to lose a gateway 2 + Skew_Time, and twice that again
HEAL_LIMIT = 15.0
WATCHED = 8.0

Say = Callable[[str, float], None]


def play(lab: Lab, say: Say) -> None:
    """`say` gets a line and its seconds for each step; raises LabError at the first that fails."""
    start = time.monotonic()
    old = wait_until(lambda: _steady(lab), STEADY_LIMIT, "one MASTER that reaches its gateways")
    say(f"steady: {old} is MASTER and reaches its gateways, the others are BACKUP", _since(start))

    broken = time.monotonic()
    lab.break_gateway(old)
    say(f"broken: the provider cable of {old} is pulled", _since(broken))
    new = _await_takeover(lab, old)
    say(f"moved: {new} is MASTER, {old} gave the role up for gateway_lost", _since(broken))

    healed = time.monotonic()
    if has_carrier(Network.PROVIDER, lab.node(old)):
        raise LabError(f"the cable of {old} was not out")
    lab.heal_gateway(old)
    wait_until(
        lambda: has_carrier(Network.PROVIDER, lab.node(old)), HEAL_LIMIT, f"the cable of {old}"
    )
    wait_until(lambda: _steady(lab) == new, HEAL_LIMIT, f"{new} MASTER and no problem anywhere")
    say(f"healed: the cable of {old} is back, {new} stays MASTER", _since(healed))

    watched = time.monotonic()
    _watch(lab, new)
    say(f"stable: {new} stayed MASTER, nothing moved", _since(watched))


def _steady(lab: Lab) -> str | None:
    """The node that is MASTER, when every node answers and sees nothing wrong."""
    routers = _routers(statuses(lab))
    if len(routers) != len(lab.names):
        return None
    states = sorted(router["state"] for router in routers.values())
    if states != ["BACKUP"] * (len(routers) - 1) + ["MASTER"]:
        return None
    if any(_problems(router) for router in routers.values()):
        return None
    master = _master(routers)
    return master if master and routers[master]["connectivity"] == "reachable" else None


def _await_takeover(lab: Lab, old: str) -> str:
    """The next MASTER, when the old one has also said that it went for its gateway."""
    causes: set[str] = set()

    def taken() -> str | None:
        routers = _routers(statuses(lab))
        if old in routers:
            causes.update(_causes_of_loss(routers[old]))
        new = _master({name: router for name, router in routers.items() if name != old})
        moved = new and old in routers and routers[old]["state"] != "MASTER"
        return new if moved and "gateway_lost" in causes else None

    try:
        return wait_until(taken, TAKEOVER_LIMIT, f"another MASTER than {old}")
    except LabError as error:
        raise LabError(f"{error}; causes that {old} gave: {sorted(causes)}") from error


def _watch(lab: Lab, master: str) -> None:
    """Nothing may change for a while; a poll that finds a change raises LabError."""
    before = _transitions(lab)
    deadline = time.monotonic() + WATCHED
    while time.monotonic() < deadline:
        holders = lab.holders()
        if holders != [master]:
            raise LabError(f"the addresses were on {holders or 'no node'} after the repair")
        if (after := _transitions(lab)) != before:
            raise LabError(f"a router moved after the repair: transitions {before} -> {after}")
        time.sleep(0.1)


def _transitions(lab: Lab) -> dict[str, int]:
    return {
        name: router["instances"][0]["transitions"]
        for name, router in _routers(statuses(lab)).items()
    }


def _routers(seen: Mapping[str, Status | None]) -> dict[str, dict[str, Any]]:
    """The lab's one router as each answering node sees it, where it has an instance."""
    return {
        name: status["routers"][0]
        for name, status in seen.items()
        if status and status["routers"] and status["routers"][0]["instances"]
    }


def _master(routers: Mapping[str, Mapping[str, Any]]) -> str | None:
    masters = [name for name, router in routers.items() if router["state"] == "MASTER"]
    return masters[0] if len(masters) == 1 else None


def _problems(router: Mapping[str, Any]) -> list[str]:
    """Of the router as a whole; the instances' problems are among them, or their own."""
    own = (problem for item in router["instances"] for problem in item.get("problems", ()))
    return [*router["problems"], *own]


def _causes_of_loss(router: Mapping[str, Any]) -> set[str]:
    """Why instances that were MASTER no longer are."""
    last = (instance["last_transition"] for instance in router["instances"])
    return {item["cause"] for item in last if item and item["from"] == "MASTER"}


def _since(start: float) -> float:
    return time.monotonic() - start
