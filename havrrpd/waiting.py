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
        resigning = router["election"]["phase"] == "resigning"
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
    """Until no router is MASTER here and none is resigning."""
    began = clock()
    while True:
        status = ask()
        left = [router for router in status["routers"] if not _is_drained(status, router)]
        if status["draining"] and not left:
            return Outcome(
                True, f"drained: no router is MASTER here, after {clock() - began:.1f} s"
            )
        if clock() - began > LIMIT:
            names = ", ".join(router["router"] for router in left)
            return Outcome(False, f"still here after {LIMIT:.0f} s: {names or 'not draining'}")
        pause(EVERY)


def _successor(router: Json) -> str | None:
    """Who is MASTER instead of this node, with the priority that its adverts show."""
    instances = router["instances"]
    if any(instance["state"] == "MASTER" for instance in instances):
        return None
    heard = [master for instance in instances for master in instance["masters_heard"]]
    if not heard:
        return None
    newest = min(heard, key=lambda master: float(master["last_heard_seconds"]))
    return f"{newest['address']} (priority {newest['priority']})"


def _is_drained(status: Json, router: Json) -> bool:
    serving = any(instance["state"] == "MASTER" for instance in router["instances"])
    return not serving and router["election"]["phase"] != "resigning"
