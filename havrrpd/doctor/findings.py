"""What the doctor says: a finding, its kind, and how bad it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

NODE = "node"  # where a finding is that is about no router


class Level(StrEnum):
    """How bad, the worst first."""

    FAIL = "fail"  # it does not work, or will not when it is needed
    WARN = "warn"  # it works, and not as well or as safely as it could
    UNKNOWN = "unknown"  # it could not be looked at
    NOTE = "note"  # good to know; nothing has to be done


@dataclass(frozen=True, slots=True)
class Kind:
    """One thing that can be wrong: a name to filter by, when it is said, and what mends it.

    `when` and `mend` are what docs/doctor.md shows of it.
    """

    name: str
    level: Level
    when: str
    mend: str

    def at(self, where: str, what: str) -> Finding:
        """`what` was seen there, in a sentence without its full stop."""
        return Finding(self.level, self.name, where, what, self.mend)


@dataclass(frozen=True, slots=True)
class Finding:
    level: Level
    name: str
    where: str
    what: str
    mend: str


def router(router_id: str, instance: str | None = None) -> str:
    """Where a finding is that is about a router, or about one of its instances."""
    return f"router {router_id}" if instance is None else f"router {router_id} {instance}"
