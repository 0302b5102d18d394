"""The figures as docs/benchmarks.md: what is to be reached, growth, and the peers with ratios."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from statistics import median

from tests.bench.figure import HAVRRPD, Figure
from tests.bench.growth import EVENTS, costs, paces

_HEAD = """# Benchmarks

`make bench` makes this page, in about {minutes:.0f} minutes, on {machine}.
All figures are of that one run; `pytest` asserts none of them. With three routers keepalived is
real, on three nodes, and in the rows that say so. Elsewhere the links, addresses, adverts and
notify FIFOs are real, on one node, but a stand-in process takes keepalived's place: a driver does
in the kernel, on the wire and in the FIFO what keepalived would do. The gateways answer on another
CPU than havrrpd's, as other machines would.

How fast the machine was, and how steady: a fixed piece of work (`tests/bench/pace.py`) took
{fastest:.2f} to {slowest:.2f} s, {middle:.2f} s in the middle of {looks} figures; that of a part is
the mean of right before and right after it. Limits in seconds are to be read beside that; ratios to
the peers hardly depend on it.

CPU is of one core. How late the loop was is the upper bound of the bucket of
`havrrpd_event_loop_lag_seconds`.
"""
_EVENTS = """
Of what all routers cost together, the share of each beyond the first ten. Each figure is brought
to the pace in the middle of the run, from the one right before and after it, which is in the next
table. The growth above is the worst from any number of routers to a larger one.
"""
_PEERS = """
## The peers

One of Neutron's monitors (`neutron-keepalived-state-change`) runs for each router, and one havrrpd
for all of them. A ratio above 1 says how many times as much the peer takes as havrrpd does with as
many routers, in the same run; below 1 the peer is better. A check script has no idle CPU.
"""


def page(figures: Sequence[Figure], minutes: float, machine: str) -> str:
    """Markdown."""
    seen = paces(figures)
    own = [figure for figure in figures if figure.by == HAVRRPD]
    others = [figure for figure in figures if figure.by != HAVRRPD]
    limited = [figure for figure in own if figure.limit is not None]
    parts = [
        _HEAD.format(
            minutes=minutes,
            machine=machine,
            fastest=min(seen),
            slowest=max(seen),
            middle=median(seen),
            looks=len(seen),
        ),
        "\n## What is to be reached\n",
        _table(
            ("routers", "what", "figure", "limit", ""),
            (
                (str(f.routers), f.what, _value(f), f"{f.limit:g} {f.unit}", _verdict(f))
                for f in limited
            ),
        ),
        "\n## What one event costs",
        _EVENTS,
        _costs(own),
        "\n## From 10 to 2000 routers\n",
        _growth([figure for figure in own if figure.limit is None or figure.routers > 3]),
        _PEERS,
        *_absent(others),
        _table(
            ("routers", "what", "peer", "its figure", "havrrpd", "ratio"), _compared(own, others)
        ),
    ]
    return "\n".join(parts) + "\n"


def _costs(figures: Sequence[Figure]) -> str:
    found = {event: costs(event, figures) for event in EVENTS}
    sizes = sorted({size for by_size in found.values() for size in by_size})
    rows = (
        (
            event.what,
            *(f"{by_size[n]:.3g} {event.unit}" if n in by_size else "" for n in sizes),
        )
        for event, by_size in found.items()
        if by_size
    )
    return _table(("what", *(f"{size} routers" for size in sizes)), rows)


def _growth(figures: Sequence[Figure]) -> str:
    sizes = sorted({figure.routers for figure in figures if figure.routers > 3})
    known = {(figure.what, figure.routers): figure for figure in figures}
    whats = list(dict.fromkeys(figure.what for figure in figures if figure.routers > 3))
    rows = (
        (what, *(_value(known[what, size]) if (what, size) in known else "" for size in sizes))
        for what in whats
    )
    return _table(("what", *(f"{size} routers" for size in sizes)), rows)


def _absent(others: Sequence[Figure]) -> Iterator[str]:
    """A line for each peer that was left out."""
    yield from dict.fromkeys(f"{f.by} is {f.note}.\n" for f in others if _left_out(f))


def _left_out(figure: Figure) -> bool:
    return figure.value is None and figure.note.startswith("not installed")


def _compared(own: Sequence[Figure], others: Iterable[Figure]) -> Iterator[tuple[str, ...]]:
    """With as many routers, else with the most: a check costs the same with any number."""
    known = {(figure.what, figure.routers): figure for figure in own}
    known |= {(figure.what, 1): figure for figure in own}
    for other in others:
        if _left_out(other):
            continue
        mine = known.get((other.what, other.routers))
        seen = "" if mine is None else _value(mine)
        if mine is not None and mine.routers != other.routers:
            seen += f" ({mine.routers} routers)"
        yield str(other.routers), other.what, other.by, _value(other), seen, _ratio(other, mine)


def _ratio(other: Figure, mine: Figure | None) -> str:
    if mine is None or not mine.value or other.value is None:
        return ""
    ratio = other.value / mine.value
    return f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.2g}"


def _value(figure: Figure) -> str:
    shown = figure.note if figure.value is None else f"{figure.shown} {figure.unit}".strip()
    return f"{shown} ({figure.note})" if figure.note and figure.value is not None else shown


def _verdict(figure: Figure) -> str:
    return "holds" if figure.holds else "**missed**"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
