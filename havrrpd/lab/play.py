"""The demo that plays by itself: a gateway is lost, the router moves, and then stays put."""

from __future__ import annotations

import time
from collections.abc import Callable

from havrrpd.lab.lab import Lab
from havrrpd.lab.network import Network, has_carrier
from havrrpd.lab.router import Router
from havrrpd.lab.steady import router_at, wait_steady
from havrrpd.lab.waiting import LabError, wait_until

TAKEOVER_LIMIT = 8.0  # interval 1 + time to lose a gateway 2 + Skew_Time, and twice that again
HEAL_LIMIT = 15.0
WATCHED = 8.0

Say = Callable[[str, float], None]


def play(lab: Lab, say: Say) -> None:
    """`say` gets a line and its seconds for each step; raises LabError at the first that fails."""
    router = lab.routers[0]
    start = time.monotonic()
    old = wait_steady(lab)[router.id]
    say(f"steady: {old} is MASTER and reaches its gateways, the others are BACKUP", _since(start))

    broken = time.monotonic()
    lab.break_gateway(old)
    say(f"broken: the provider cable of {old} is pulled", _since(broken))
    new = _await_takeover(lab, router, old)
    say(f"moved: {new} is MASTER, {old} gave the role up for gateway_lost", _since(broken))

    healed = time.monotonic()
    if has_carrier(Network.PROVIDER, lab.node(old)):
        raise LabError(f"the cable of {old} was not out")
    lab.heal_gateway(old)
    wait_until(
        lambda: has_carrier(Network.PROVIDER, lab.node(old)), HEAL_LIMIT, f"the cable of {old}"
    )
    wait_until(
        lambda: wait_steady(lab)[router.id] == new, HEAL_LIMIT, f"{new} MASTER and no problem"
    )
    say(f"healed: the cable of {old} is back, {new} stays MASTER", _since(healed))

    watched = time.monotonic()
    _watch(lab, router, new)
    say(f"stable: {new} stayed MASTER, nothing moved", _since(watched))


def _await_takeover(lab: Lab, router: Router, old: str) -> str:
    """The next MASTER, when the old one has also said that it went for its gateway."""
    others = [name for name in lab.names if name != old]

    def taken() -> str | None:
        left = router_at(lab, old, router.id)["instances"][0]["last_transition"]
        if left is None or left["to"] == "MASTER" or left["cause"] != "gateway_lost":
            raise LabError(f"the last transition of {old} is {left}")
        found = [n for n in others if router_at(lab, n, router.id)["state"] == "MASTER"]
        return found[0] if len(found) == 1 else None

    return wait_until(taken, TAKEOVER_LIMIT, f"another MASTER than {old}")


def _watch(lab: Lab, router: Router, master: str) -> None:
    """Nothing may change for a while; a poll that finds a change raises LabError."""
    before = _transitions(lab, router)
    deadline = time.monotonic() + WATCHED
    while time.monotonic() < deadline:
        holders = lab.holders()
        if holders != [master]:
            raise LabError(f"the addresses were on {holders or 'no node'} after the repair")
        if (after := _transitions(lab, router)) != before:
            raise LabError(f"a router moved after the repair: transitions {before} -> {after}")
        time.sleep(0.1)


def _transitions(lab: Lab, router: Router) -> dict[str, int]:
    return {
        name: int(router_at(lab, name, router.id)["instances"][0]["transitions"])
        for name in lab.names
    }


def _since(start: float) -> float:
    return time.monotonic() - start
