"""The history of a node as a table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, tzinfo
from typing import Any

from havrrpd.terminal.colours import FAINT, RED, of_state
from havrrpd.terminal.columns import Cell, Row, laid_out

HEADINGS = {
    name: name.upper() for name in ("when", "router", "instance", "from", "to", "cause", "problems")
}


def history_table(
    transitions: Sequence[dict[str, Any]], *, evidence: bool = False, zone: tzinfo | None = None
) -> list[str]:
    """A line for each transition under a line of headings; below each its evidence, if asked so.

    Times are those of `zone`, by default the one of this machine.
    """
    rows = [_row(transition, zone) for transition in transitions]
    head, *lines = laid_out(HEADINGS, rows, [tuple(HEADINGS)], None)
    shown = [head]
    for line, transition in zip(lines, transitions, strict=True):
        shown += [line, *(_statement(said) for said in transition["evidence"] if evidence)]
    return shown


def _row(transition: dict[str, Any], zone: tzinfo | None) -> Row:
    at = datetime.fromisoformat(transition["at"]).astimezone(zone)
    problems = transition["problems"]
    return {
        "when": Cell(at.replace(tzinfo=None).isoformat(" ", "milliseconds")),
        "router": Cell(transition["router"]),
        "instance": Cell(transition["vrrp_instance"]),
        "from": Cell(transition["from"], FAINT),
        "to": Cell(transition["to"], of_state(transition["to"], in_trouble=bool(problems))),
        "cause": Cell(transition["cause"]),
        "problems": Cell(", ".join(problems), RED) if problems else Cell("-", FAINT),
    }


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
