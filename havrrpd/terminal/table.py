"""The status of a node as a table: a line for each VRRP instance, columns as there is room."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from havrrpd.terminal.colours import FAINT, GREEN, PLAIN, RED, of_state
from havrrpd.terminal.columns import Cell, Row, laid_out

Json = dict[str, Any]

UNPROTECTED = "not protected"
HEADINGS = {
    "router": "ROUTER",
    "prefix": "ROUTER",
    "instance": "INSTANCE",
    "interface": "INTERFACE",
    "vrid": "VRID",
    "state": "STATE",
    "priority": "PRIORITY",
    "transition": "LAST TRANSITION",
    "since": "SINCE",
    "gateways": "GATEWAYS",
    "election": "ELECTION",
    "problems": "PROBLEMS",
}
# From wide to narrow. State and problems are always there.
LAYOUTS = tuple(
    layout.split()
    for layout in (
        "router instance interface vrid state priority transition gateways election problems",
        "router interface vrid state priority transition gateways election problems",
        "prefix interface vrid state priority transition gateways election problems",
        "prefix interface vrid state priority transition gateways problems",
        "prefix interface vrid state priority transition problems",
        "prefix interface vrid state priority since problems",
        "prefix vrid state priority since problems",
        "prefix state since problems",
        "prefix state problems",
    )
)
_WORST_FIRST = ("STOPPED", "FAULT", "INIT", "MASTER", "BACKUP")
_FACTS = (
    *("vrrp_instance", "interface", "vrid", "state", "transitions"),
    *("priority", "effective_priority", "problems"),
)
_SHORTEST = 8  # characters of a router's id: as many as set UUIDs apart at a glance


def is_degraded(routers: Sequence[Json]) -> bool:
    """Whether something is wrong with one of the routers."""
    return any(r["problems"] or r["state"] in ("FAULT", "STOPPED") for r in routers)


def table(
    routers: Sequence[Json],
    now: datetime | None = None,
    unprotected: Sequence[Json] = (),
    width: int | None = None,
) -> list[str]:
    """The lines of the table, in colours; those unprotected last. width None: as wide as it is."""
    moment = now or datetime.now(UTC)
    ids = [each["router"] for each in (*routers, *unprotected)]
    length = prefix_length(ids)
    rows = [row for router in routers for row in _rows(router, moment, length)]
    rows += [_unprotected(each["router"], length) for each in unprotected]
    return laid_out(HEADINGS, rows, LAYOUTS, width)


def worst_first(routers: Sequence[Json]) -> list[Json]:
    """Those with problems, then those that do not run, then by state; else in order of their id."""

    def rank(router: Json) -> tuple[bool, int, str]:
        return not router["problems"], _WORST_FIRST.index(router["state"]), router["router"]

    return sorted(routers, key=rank)


def prefix_length(ids: Sequence[str]) -> int:
    """How many characters set all of them apart, at least 8."""
    ordered = sorted(set(ids))
    pairs = pairwise(ordered)
    return max([_SHORTEST, *(_common(one, other) + 1 for one, other in pairs)])


def summary(status: Json) -> str:
    """The node in one line."""
    counts = status["summary"]
    states = [f"{counts[s]} {s}" for s in ("MASTER", "BACKUP", "FAULT", "INIT", "STOPPED")]
    shown = ", ".join(text for text in states if not text.startswith("0 ")) or "none"
    draining = ", draining" if status["draining"] else ""
    ready = "" if status["ready"] else ", not ready yet"
    problems = f"{counts['problems']} problem{'' if counts['problems'] == 1 else 's'}"
    unprotected = f", {counts['unprotected']} not protected" if counts["unprotected"] else ""
    return f"{status['node']}: routers: {shown}{unprotected}; {problems}{draining}{ready}"


def facts(router: Json) -> tuple[object, ...]:
    """What differs when something happened to a router, and not because time passed."""
    election = router["election"]
    return (
        *(router["pid"], router["problems"], router["connectivity"]),
        *(election[name] for name in ("phase", "tried", "standing", "lever", "uplinks_down")),
        [(check["address"], check["verdict"]) for check in router["gateways"]],
        [[instance[name] for name in _FACTS] for instance in router["instances"]],
    )


def _common(one: str, other: str) -> int:
    pairs = zip(one, other, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _rows(router: Json, now: datetime, length: int) -> Iterator[Row]:
    """One for each instance; what concerns the router as a whole is in the first."""
    name = router["router"]
    whole = {
        "router": Cell(name),
        "prefix": Cell(name[:length]),
        "gateways": _gateways(router),
        "election": Cell(_election(router["election"])),
    }
    instances = router["instances"]
    if not instances:
        nothing = dict.fromkeys(HEADINGS, Cell("-", FAINT))
        own = router["problems"]
        yield {**nothing, **whole, "state": _state(router, own), "problems": _problems(own)}
        return
    of_instances = {problem for instance in instances for problem in instance["problems"]}
    own = [problem for problem in router["problems"] if problem not in of_instances]
    for instance in instances:
        problems = sorted({*own, *instance["problems"]})
        yield {
            **whole,
            "instance": Cell(instance["vrrp_instance"]),
            "interface": Cell(instance["interface"]),
            "vrid": Cell(str(instance["vrid"])),
            "state": _state(instance, problems),
            "priority": Cell(_priority(instance)),
            **_transition(instance, now),
            "problems": _problems(problems),
        }
        own = []
        whole |= {"gateways": Cell(""), "election": Cell("")}


def _unprotected(name: str, length: int) -> Row:
    nothing = dict.fromkeys(HEADINGS, Cell("-", FAINT))
    names = {"router": Cell(name), "prefix": Cell(name[:length])}
    return {**nothing, **names, "problems": Cell(UNPROTECTED, FAINT)}


def _state(shown: Json, problems: Sequence[str]) -> Cell:
    return Cell(shown["state"], of_state(shown["state"], in_trouble=bool(problems)))


def _problems(problems: Sequence[str]) -> Cell:
    return Cell(", ".join(problems), RED) if problems else Cell("-", FAINT)


def _priority(instance: Json) -> str:
    """The effective one, and the configured one where it differs."""
    effective, configured = instance["effective_priority"], instance["priority"]
    return str(effective) if effective == configured else f"{effective} of {configured}"


def _transition(instance: Json, now: datetime) -> dict[str, Cell]:
    age, last = _age(instance["since"], now), instance["last_transition"]
    return {
        "since": Cell(age),
        "transition": Cell(f"{age} ago, {last['cause']}" if last else f"{age} ago"),
    }


def _age(since: str, now: datetime) -> str:
    seconds = max(0, int((now - datetime.fromisoformat(since)).total_seconds()))
    for limit, unit, size in ((120, "s", 1), (7200, "min", 60), (172800, "h", 3600)):
        if seconds < limit:
            return f"{seconds // size} {unit}"
    return f"{seconds // 86400} d"


def _gateways(router: Json) -> Cell:
    """The lost ones by name; of the others how many there are."""
    checks = router["gateways"]
    if not checks:
        return Cell(router["connectivity"], FAINT)
    lost = [check["address"] for check in checks if check["verdict"] == "lost"]
    counts = [
        f"{count} {verdict}"
        for verdict in ("reachable", "unchecked")
        if (count := sum(check["verdict"] == verdict for check in checks))
    ]
    text = ", ".join([*(f"{address} lost" for address in lost), *counts])
    if lost:
        return Cell(text, RED)
    return Cell(text, GREEN if router["connectivity"] == "reachable" else PLAIN)


def _election(election: Json) -> str:
    words = [str(election["phase"]), *(f"{name} down" for name in election["uplinks_down"])]
    if election["tried"]:
        words.append("tried")
    words.append(f"standing {election['standing']}" if election["lever"] else "no lever")
    return ", ".join(words)
