"""Waiting for what was ordered, by asking the daemon again and again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

EVERY = 0.05  # seconds; resigning takes 0.6 s and more
LIMIT = 60.0
UNSEEN = 2.0  # how long an order may take to show at all

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    good: bool
    text: str


def wait_for_failover(
    ask: Callable[[], Json],
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> Outcome:
    """Until another MASTER of the router is heard, or this node gave up resigning."""
    began, resigned = clock(), False
    while (taken := clock() - began) < LIMIT:
        router = ask()
        successor = _successor(router)
        if successor is not None:
            return Outcome(True, f"{successor} is MASTER, after {taken:.1f} s")
        resigning = _is_resigning(router)
        resigned |= resigning
        if resigned and not resigning and router["state"] == "MASTER":
            return Outcome(False, "nobody took it over; this node is MASTER again")
        if not resigned and router["state"] == "MASTER" and taken > UNSEEN:
            return Outcome(False, "this node did not resign")
        pause(EVERY)
    return Outcome(False, f"no other MASTER was heard within {LIMIT:.0f} s")


def wait_for_drain(
    ask: Callable[[], Json],
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> Outcome:
    """Until each router is another node's, or it is clear that it stays here."""
    began, resigned = clock(), set[str]()
    while True:
        status, taken = ask(), clock() - began
        resigned |= {r["router"] for r in status["routers"] if _is_resigning(r)}
        left = [r for r in status["routers"] if not _is_given_away(r, r["router"] in resigned)]
        if status["draining"] and not left:
            return Outcome(True, f"drained: no router is MASTER here, after {taken:.1f} s")
        if left and taken > UNSEEN and all(_is_kept(router) for router in left):
            return Outcome(False, _kept(left, resigned))
        if taken > LIMIT:
            return Outcome(False, _unfinished(left))
        pause(EVERY)


def _successor(router: Json) -> str | None:
    """Who is MASTER instead of this node, with the priority that its adverts show."""
    instances = router["instances"]
    if _is_serving(router):
        return None
    heard = [master for instance in instances for master in instance["masters_heard"]]
    if not heard:
        return None
    newest = min(heard, key=lambda master: float(master["last_heard_seconds"]))
    return f"{newest['address']} (priority {newest['priority']})"


def _is_resigning(router: Json) -> bool:
    """For the order. One that an uplink holds in FAULT waits for nobody."""
    election = router["election"]
    return bool(election["phase"] == "resigning" and not election["uplinks_down"])


def _is_serving(router: Json) -> bool:
    return any(instance["state"] == "MASTER" for instance in router["instances"])


def _is_given_away(router: Json, resigned: bool) -> bool:
    """Not MASTER here, nor about to be: that is sure where another MASTER is heard."""
    if _is_serving(router) or _is_resigning(router):
        return False
    unable = () if resigned else ("FAULT", "STOPPED")  # the FAULT of a resignation passes
    return all(i["masters_heard"] or i["state"] in unable for i in router["instances"])


def _is_kept(router: Json) -> bool:
    """MASTER here although the drain had its move: as the last resort, or it can't be moved."""
    return _is_serving(router) and router["election"]["phase"] == "drained"


def _kept(routers: list[Json], resigned: set[str]) -> str:
    unrelieved = [router for router in routers if router["router"] in resigned]
    unmoved = [router for router in routers if router["router"] not in resigned]
    reasons = []
    if unrelieved:
        reasons.append(f"nobody took over {_names(unrelieved)}")
    if unmoved:
        reasons.append(f"{_names(unmoved)} can't be moved, havrrpd explain says why")
    return f"draining, but still MASTER here: {'; '.join(reasons)}"


def _unfinished(routers: list[Json]) -> str:
    serving = [router for router in routers if _is_serving(router)]
    if serving or not routers:
        return f"still here after {LIMIT:.0f} s: {_names(serving) or 'not draining'}"
    return f"no other MASTER was heard within {LIMIT:.0f} s: {_names(routers)}"


def _names(routers: list[Json]) -> str:
    return ", ".join(router["router"] for router in routers)
