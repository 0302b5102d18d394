"""The status of a node as a table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

UNPROTECTED = "not protected: no keepalived"
COLUMNS = ("ROUTER", "STATE", "SINCE", "PRIORITY", "GATEWAYS", "ELECTION", "PROBLEMS")


def is_degraded(routers: list[dict[str, Any]]) -> bool:
    """Whether something is wrong with one of the routers."""
    return any(r["problems"] or r["state"] in ("FAULT", "STOPPED") for r in routers)


def table(
    routers: list[dict[str, Any]],
    now: datetime | None = None,
    unprotected: Sequence[dict[str, Any]] = (),
) -> str:
    """A line for each router under a line of headings, in columns; those unprotected last."""
    moment = now or datetime.now(UTC)
    rows = [COLUMNS, *(_row(router, moment) for router in routers)]
    rows += [(each["router"], *("-" * (len(COLUMNS) - 2)), UNPROTECTED) for each in unprotected]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def summary(status: dict[str, Any]) -> str:
    """The node in one line."""
    counts = status["summary"]
    states = [f"{counts[s]} {s}" for s in ("MASTER", "BACKUP", "FAULT", "INIT", "STOPPED")]
    shown = ", ".join(text for text in states if not text.startswith("0 ")) or "none"
    draining = ", draining" if status["draining"] else ""
    ready = "" if status["ready"] else ", not ready yet"
    problems = f"{counts['problems']} problem{'' if counts['problems'] == 1 else 's'}"
    unprotected = f", {counts['unprotected']} not protected" if counts["unprotected"] else ""
    return f"{status['node']}: routers: {shown}{unprotected}; {problems}{draining}{ready}"


def _row(router: dict[str, Any], now: datetime) -> tuple[str, ...]:
    instances = router["instances"]
    return (
        router["router"],
        router["state"],
        _since(instances, now),
        "/".join(str(i["effective_priority"]) for i in instances) or "-",
        _gateways(router),
        _election(router["election"]),
        ", ".join(router["problems"]) or "-",
    )


def _since(instances: list[dict[str, Any]], now: datetime) -> str:
    """How long ago the latest of the instances came to its state."""
    if not instances:
        return "-"
    latest = max(datetime.fromisoformat(instance["since"]) for instance in instances)
    seconds = max(0, int((now - latest).total_seconds()))
    for limit, unit, size in ((120, "s", 1), (7200, "min", 60), (172800, "h", 3600)):
        if seconds < limit:
            return f"{seconds // size} {unit}"
    return f"{seconds // 86400} d"


def _gateways(router: dict[str, Any]) -> str:
    checks = router["gateways"]
    if not checks:
        return str(router["connectivity"])
    return ", ".join(f"{check['address']} {check['verdict']}" for check in checks)


def _election(election: dict[str, Any]) -> str:
    words = [str(election["phase"]), *(f"{name} down" for name in election["uplinks_down"])]
    if election["tried"]:
        words.append("tried")
    words.append(f"standing {election['standing']}" if election["lever"] else "no lever")
    return ", ".join(words)
