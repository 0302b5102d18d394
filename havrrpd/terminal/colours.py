"""When there are colours, and what each of them means.

Green: serves. Yellow: on its way, or serves with a problem. Red: wrong. Faint: nobody knows, or
nothing to see.
"""

from __future__ import annotations

import os
from typing import TextIO

import click

GREEN, YELLOW, RED, FAINT, PLAIN = "green", "yellow", "red", "faint", ""

_STATES = {"MASTER": GREEN, "FAULT": RED, "STOPPED": RED, "INIT": YELLOW}
_LEVELS = {"fail": RED, "warn": YELLOW, "unknown": "magenta", "note": "blue"}


def wanted(stream: TextIO) -> bool:
    """On a terminal that can. NO_COLOR and then FORCE_COLOR decide if they are not empty."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return is_screen(stream)


def is_screen(stream: TextIO) -> bool:
    """Whether it is a terminal that knows more than lines."""
    return stream.isatty() and os.environ.get("TERM") not in (None, "", "dumb", "unknown")


def of_state(state: str, *, in_trouble: bool) -> str:
    """A MASTER with a problem is not green."""
    colour = _STATES.get(state, PLAIN)
    return YELLOW if in_trouble and colour != RED else colour


def painted(text: str, colour: str) -> str:
    """`text` in the colour, and no wider than it was."""
    if not text or colour == PLAIN:
        return text
    return click.style(text, dim=True) if colour == FAINT else click.style(text, fg=colour)


def with_levels(text: str) -> str:
    """The table of the doctor: the first word of each line, where it is a level."""
    lines = []
    for line in text.splitlines():
        level, _, rest = line.partition(" ")
        colour = _LEVELS.get(level)
        lines.append(f"{painted(level, colour)} {rest}" if colour else line)
    return "\n".join(lines)
