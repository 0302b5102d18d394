"""The lab's table: what each node's havrrpd says of its routers, and who does not answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from rich.table import Table

from havrrpd.lab.lab import Lab
from havrrpd.lab.waiting import LabError

Status = dict[str, Any]

COLUMNS = ("node", "router", "state", "since", "problems", "gateways", "election")
_STYLES = {"MASTER": "bold green", "BACKUP": "cyan", "FAULT": "bold red", "STOPPED": "red"}


def statuses(lab: Lab) -> dict[str, Status | None]:
    """/status of every node, all asked at once; None where havrrpd does not answer."""

    def ask(name: str) -> Status | None:
        try:
            return lab.node(name).status()
        except (OSError, LabError):
            return None

    with ThreadPoolExecutor(len(lab.names)) as pool:
        return dict(zip(lab.names, pool.map(ask, lab.names), strict=True))


def rows(seen: Mapping[str, Status | None]) -> list[tuple[str, ...]]:
    """One row per node and router, by router; its cells in the order of COLUMNS."""
    made = [row for name, status in seen.items() for row in _rows_of(name, status)]
    return sorted(made, key=lambda row: (row[1], row[0]))


def is_degraded(seen: Mapping[str, Status | None]) -> bool:
    """Whether a node does not answer, or sees anything wrong."""
    return any(status is None or status["summary"]["problems"] for status in seen.values())


def table(seen: Mapping[str, Status | None]) -> Table:
    made = Table(*COLUMNS)
    for row in rows(seen):
        made.add_row(*row, style=_STYLES.get(row[2], "yellow"))
    return made


def _rows_of(name: str, status: Status | None) -> Iterator[tuple[str, ...]]:
    if status is None:
        yield (name, "", "?", "", "havrrpd does not answer", "", "")
        return
    if not status["routers"]:
        yield (name, "", "-", "", "no router found", "", "")
    yield from (_row(name, router) for router in status["routers"])
    for router in status.get("unprotected", ()):
        yield (name, router["router"][:8], "-", "", "not protected: no keepalived", "", "")


def _row(name: str, router: Mapping[str, Any]) -> tuple[str, ...]:
    instance = router["instances"][0] if router["instances"] else {}
    cause = (instance.get("last_transition") or {}).get("cause")
    state = router["state"]
    problems = {*router["problems"], *instance.get("problems", ())}
    gateways = (f"{gateway['address']} {gateway['verdict']}" for gateway in router["gateways"])
    return (
        name,
        router["router"][:8],
        state,
        _age(instance.get("since")) + (f" ({cause})" if cause else ""),
        ", ".join(sorted(problems)),
        ", ".join(gateways) or router["connectivity"],
        _election(router["election"]),
    )


def _age(since: str | None) -> str:
    if since is None:
        return ""
    seconds = (datetime.now(UTC) - datetime.fromisoformat(since)).total_seconds()
    return f"{max(seconds, 0):.0f} s"


def _election(election: Mapping[str, Any]) -> str:
    tried = ", tried" if election["tried"] else ""
    return f"{election['phase']}{tried}, standing {election['standing']}"
