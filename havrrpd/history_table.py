"""The history of a node as a table for a terminal."""

from __future__ import annotations

from datetime import datetime, tzinfo
from typing import Any

COLUMNS = ("WHEN", "ROUTER", "INSTANCE", "FROM", "TO", "CAUSE", "PROBLEMS")


def history_table(
    transitions: list[dict[str, Any]], *, evidence: bool = False, zone: tzinfo | None = None
) -> str:
    """A line for each transition under a line of headings; below each its evidence, if asked so.

    Times are those of `zone`, by default the one of this machine.
    """
    rows = [COLUMNS, *(_row(transition, zone) for transition in transitions)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    if not evidence:
        return "\n".join(lines)
    shown = [lines[0]]
    for line, transition in zip(lines[1:], transitions, strict=True):
        shown += [line, *(_statement(said) for said in transition["evidence"])]
    return "\n".join(shown)


def _row(transition: dict[str, Any], zone: tzinfo | None) -> tuple[str, ...]:
    at = datetime.fromisoformat(transition["at"]).astimezone(zone)
    return (
        at.replace(tzinfo=None).isoformat(" ", "milliseconds"),
        transition["router"],
        transition["vrrp_instance"],
        transition["from"],
        transition["to"],
        transition["cause"],
        ", ".join(transition["problems"]) or "-",
    )


def _statement(said: dict[str, Any]) -> str:
    return f"  {_relative(said['relative_ms']):>12}  {said['witness']:<12}  {said['said']}"


def _relative(milliseconds: float) -> str:
    """In milliseconds where they tell something: a minute before it is long ago."""
    if abs(milliseconds) < 60_000:
        return f"{milliseconds:+.1f} ms"
    minutes = round(abs(milliseconds) / 60_000)
    if minutes < 120:
        text = f"{minutes} min"
    elif minutes < 48 * 60:
        text = f"{minutes // 60} h"
    else:
        text = f"{minutes // (24 * 60)} d"
    return f"{'-' if milliseconds < 0 else '+'}{text}"
