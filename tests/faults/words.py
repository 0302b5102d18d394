"""The words of a row of the fault matrix: what havrrpd says, how soon, and what never happens."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

LATE = 1.0  # seconds that a busy machine may take beside what is promised


class Hits(StrEnum):
    """The node that a fault is done to."""

    MASTER = "MASTER"
    BACKUP = "BACKUP"


class Node(StrEnum):
    """Whose havrrpd says it."""

    HERE = "here"  # where the fault is
    THERE = "there"  # any other one
    EVERYWHERE = "everywhere"


class Never(StrEnum):
    """What must not happen from the fault until all is right again; each is looked for."""

    RESIGN = "havrrpd gives the role up"
    MOVE = "the router moves"
    TWO = "two nodes send adverts for longer than 2 x advert_int"
    LIE = "MASTER is shown without a problem where it is not true, for more than 0.25 s"
    TROUBLE = "a problem or a transition is shown"
    END = "havrrpd ends"


@dataclass(frozen=True, slots=True)
class Limit:
    """`adverts` x advert_int + `seconds`."""

    seconds: float
    adverts: float = 0

    def of(self, advert_int: float) -> float:
        return self.adverts * advert_int + self.seconds

    def __str__(self) -> str:
        parts = [f"{self.adverts:g} x advert_int"] if self.adverts else []
        if self.seconds:
            parts.append(f"{self.seconds:g} s")
        return " + ".join(parts)


@dataclass(frozen=True, slots=True)
class Says:
    """At one moment `within` the limit a node's /status says all of this at once.

    `problems` are there, more may be; `cause` is of the last transition, to `state`. `notification`
    is that witness: "none" means that it says nothing.
    """

    node: Node
    state: str
    within: Limit
    problems: tuple[str, ...] = ()
    cause: str | None = None
    notification: str | None = None

    def __str__(self) -> str:
        words = [self.state, *(f"`{problem}`" for problem in self.problems)]
        if self.cause:
            words.append(f"cause `{self.cause}`")
        if self.notification:
            words.append(f"notification {self.notification}")
        return f"{self.node}: {', '.join(words)}, {self.within}"


@dataclass(frozen=True, slots=True)
class Row:
    """One fault. `right` says what ends it; all is right again within `again` after that.

    It lasts for `lasts` seconds at least. With `moves_when_mended` the router moves then, as it
    should have before. `note`: how it differs from what one would wish, and why.
    """

    name: str
    fault: str
    says: tuple[Says, ...]
    never: tuple[Never, ...]
    right: str
    again: Limit
    hits: Hits = Hits.MASTER
    lasts: float = 0.0
    moves_when_mended: bool = False
    note: str = ""
