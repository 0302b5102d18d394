"""Priorities and preemption: is there room to take turns, and the same order on every node?"""

from __future__ import annotations

from collections.abc import Iterator

from havrrpd.core.lever import OWNER
from havrrpd.core.priority import SMALLEST_BASE
from havrrpd.doctor.facts import Facts, Keepalived
from havrrpd.doctor.findings import Finding, Kind, Level, router

IS_OWNER = Kind(
    "priority_255",
    Level.FAIL,
    "An instance has priority 255, the owner of the addresses: keepalived takes every weight for 0 "
    "there, so havrrpd leaves it alone.",
    "set 254 or less, the same on every node, and reload keepalived",
)
SMALL = Kind(
    "priority_small",
    Level.WARN,
    f"A base priority is below {SMALLEST_BASE}: there is no room for taking turns, so the router "
    "is only resigned.",
    f"set {SMALLEST_BASE} or more, the same on every node, and reload keepalived",
)
SEVERAL = Kind(
    "priorities_of_instances_differ",
    Level.WARN,
    "The instances of one router have different base priorities. They share one standing, so there "
    "is no room for taking turns.",
    "give them one priority, and reload keepalived",
)
OF_NODES = Kind(
    "priorities_of_nodes_differ",
    Level.WARN,
    "A peer sends a higher priority than our base: the base priorities of the nodes differ, so "
    "one node has the first turn of every round.",
    "set the same priority on every node, and reload keepalived",
)
PREEMPTS = Kind(
    "preempt_on",
    Level.WARN,
    "An instance preempts: a node that returns takes the router back, and equal priorities tie in "
    "every election.",
    "add nopreempt (and state BACKUP) on every node, and reload keepalived",
)

KINDS = (IS_OWNER, SMALL, SEVERAL, OF_NODES, PREEMPTS)


def findings(facts: Facts) -> Iterator[Finding]:
    for process in facts.keepalived:
        yield from _as_configured(process)
    for shown, instance in facts.instances():
        base = instance["priority"]
        # A standing only lowers a priority: what is above our base is a higher base.
        highest = max((m["priority"] for m in instance["masters_heard"]), default=0)
        if highest > base:
            where = router(shown["router"], instance["vrrp_instance"])
            yield OF_NODES.at(where, f"a peer sends priority {highest}, ours is {base}")


def _as_configured(process: Keepalived) -> Iterator[Finding]:
    for instance in process.config.instances:
        where, priority = router(process.router, instance.name), instance.priority
        if priority == OWNER:
            yield IS_OWNER.at(where, "its priority is 255")
        if priority < SMALLEST_BASE:
            yield SMALL.at(where, f"its priority is {priority}")
        if instance.preempt and priority != OWNER and process.levers:
            yield PREEMPTS.at(where, "it has no nopreempt")
    priorities = sorted({instance.priority for instance in process.config.instances})
    if len(priorities) > 1 and process.levers:
        listed = " and ".join(str(priority) for priority in priorities)
        yield SEVERAL.at(router(process.router), f"its instances have priorities {listed}")
