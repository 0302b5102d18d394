"""What keepalived writes into a notify FIFO: bytes -> lines -> states."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from havrrpd.core.messages import StateNotified
from havrrpd.core.model import Word

MAX_LINE = 4096  # bytes: PIPE_BUF, the longest line that a writer can write whole


class Line(StrEnum):
    """What became of a line."""

    STATE = "state"
    EVENT = "event"  # MASTER_RX_LOWER_PRI and its like: they name no state
    GROUP = "group"  # a sync group's; its instances have lines of their own
    CHECKER = "checker"  # virtual and real servers, on a FIFO shared with the load balancer
    GARBAGE = "garbage"
    OVERLONG = "overlong"
    STALE = "stale"  # outdated by a later line, or by lines that a full pipe dropped
    SHARED = "shared"  # on a FIFO of two routers: nobody can tell whose it is


# keepalived 2.2.7: MASTER_PRIORITY and BACKUP_PRIORITY come with notify_priority_changes only, and
# an instance in FAULT says BACKUP_PRIORITY too.
EVENT_WORDS = frozenset({"MASTER_RX_LOWER_PRI", "MASTER_PRIORITY", "BACKUP_PRIORITY"})
_LINE = re.compile(rb'(INSTANCE|GROUP) "([^\x00-\x1f\x7f]+)" ([A-Z_]+) ([0-9]{1,3})')
_CHECKER = re.compile(rb"(VS|RS) .*")


def decode(line: bytes) -> StateNotified | Line:
    """One line without its newline: the state it names, or what else it is.

    A line is `INSTANCE|GROUP "NAME" WORD PRIO`; NAME may hold blanks and quotes.
    """
    match = _LINE.fullmatch(line)
    if match is None:
        return Line.CHECKER if _CHECKER.fullmatch(line) else Line.GARBAGE
    kind, name, word, priority = match[1], match[2], match[3].decode(), int(match[4])
    if priority > 255 or (word not in Word.__members__ and word not in EVENT_WORDS):
        return Line.GARBAGE
    if kind == b"GROUP":
        return Line.GROUP
    if word in EVENT_WORDS:
        return Line.EVENT
    return StateNotified(name.decode(errors="replace"), Word(word), priority)


@dataclass(slots=True)
class LineBuffer:
    """Bytes in, whole lines out; the half line at the end waits for its rest."""

    half: bytes = b""
    skipping: bool = False  # inside a line that is too long

    def feed(self, data: bytes) -> tuple[list[bytes], int]:
        """The lines that `data` completes, and the number of those that grew too long."""
        *lines, rest = (self.half + data).split(b"\n")
        if self.skipping and lines:
            self.skipping = False
            del lines[0]
        kept = [line for line in lines if len(line) <= MAX_LINE]
        overlong = len(lines) - len(kept)
        if self.skipping or len(rest) > MAX_LINE:
            overlong += not self.skipping
            self.skipping, rest = True, b""
        self.half = rest
        return kept, overlong


def latest(states: list[StateNotified]) -> list[StateNotified]:
    """The last line of each instance: older ones were true before anybody read them."""
    found: dict[str, StateNotified] = {}
    for state in states:
        found.pop(state.instance, None)
        found[state.instance] = state
    return list(found.values())
