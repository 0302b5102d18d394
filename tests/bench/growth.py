"""What one event costs with few routers and with many: does it grow with their number?

Of what all routers cost together it is the share of each beyond those of the smallest load, so that
what havrrpd costs without any is left out. Each cost is given for one pace of the machine, the
median, by the pace that was measured right before and after.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from tests.bench.figure import HAVRRPD, Figure

PACE = "the machine's pace"
LIMIT = 1.5  # times


@dataclass(frozen=True, slots=True)
class Event:
    """`of_all`: the figure is what all routers cost together."""

    what: str
    figure: str
    part: str
    unit: str
    scale: float = 1.0
    of_all: bool = False


EVENTS = (
    Event("CPU to find a router that runs", "CPU to start", "resting", "ms", 1000.0, of_all=True),
    Event(
        "idle CPU for a router, of one core", "idle CPU, of one core", "resting", "%", of_all=True
    ),
    Event(
        "address added -> state known, p50", "address added -> state known, p50", "resting", "ms"
    ),
    Event("CPU a transition", "storm: CPU a transition", "storms", "ms"),
    Event("CPU a check, beyond idle", "checks: CPU each, beyond idle", "checks", "us"),
)


def paced(part: str) -> str:
    """The figure of the pace while a part was measured."""
    return f"{PACE}: {part.replace('_', ' ')}"


def paces(figures: Sequence[Figure]) -> list[float]:
    """All through a run, in seconds."""
    return [f.value for f in figures if f.what.startswith(PACE) and f.value is not None]


def costs(event: Event, figures: Sequence[Figure]) -> dict[int, float]:
    """Of one event, by the number of routers; without those where something failed."""
    values, at = _by_size(event.figure, figures), _by_size(paced(event.part), figures)
    sizes = sorted(values.keys() & at.keys())
    if not sizes:
        return {}
    middle = median(paces(figures))
    at_pace = {size: values[size] * event.scale * middle / at[size] for size in sizes}
    if not event.of_all:
        return at_pace
    least = sizes[0]
    return {n: (at_pace[n] - at_pace[least]) / (n - least) for n in sizes[1:]}


def growths(figures: Sequence[Figure]) -> Iterator[Figure]:
    """How many times as much an event costs with more routers as with fewer, at the worst."""
    for event in EVENTS:
        found = costs(event, figures)
        if len(found) > 1:
            growth, size = _worst(found), max(found)
            yield Figure(HAVRRPD, size, f"growth: {event.what}", growth, "times", limit=LIMIT)


def _worst(found: Mapping[int, float]) -> float:
    """A cost too small to be measured is no growth to the next."""
    sizes = sorted(found)
    growths = (
        found[more] / found[fewer]
        for at, more in enumerate(sizes)
        for fewer in sizes[:at]
        if found[fewer] > 0
    )
    return max(growths, default=1.0)


def _by_size(what: str, figures: Sequence[Figure]) -> dict[int, float]:
    return {
        f.routers: f.value
        for f in figures
        if f.what == what and f.by == HAVRRPD and f.value is not None
    }
