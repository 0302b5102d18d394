"""Pure: from what was said and what was on the wire to what must never have happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from havrrpd.lab.wire import Sent
from tests.faults.watch import Sample
from tests.faults.words import LATE, Never

SETTLE = 0.25  # seconds: havrrpd's default


@dataclass(frozen=True, slots=True)
class Seen:
    """Of one router from the fault until all was right again; all times are monotonic.

    `advert_int` is the longest of the nodes. `before` has the last sample of each node ahead of
    the fault; of the adverts there are some from that time too.
    """

    advert_int: float
    since: float
    before: Mapping[str, Sample]
    samples: Sequence[Sample]
    adverts: Sequence[Sent]
    ended: Sequence[str] = ()  # how a havrrpd ended, if one did


@dataclass(frozen=True, slots=True)
class Run:
    """A spell in which a node sent adverts as MASTER."""

    node: str
    first: float
    last: float


def violation(never: Never, seen: Seen) -> str | None:
    """How it happened all the same; None: it did not."""
    return next(_LOOK_FOR[never](seen), None)


def runs(adverts: Sequence[Sent], advert_int: float) -> list[Run]:
    """A silence of more than three intervals, or an advert with priority 0, ends a run."""
    done, running = [], dict[str, Run]()
    for sent in sorted(adverts, key=lambda sent: sent.at):
        run = running.pop(sent.node, None)
        if run and (sent.priority == 0 or sent.at - run.last > 3.5 * advert_int):
            done.append(run)
            run = None
        if sent.priority:
            running[sent.node] = Run(sent.node, run.first if run else sent.at, sent.at)
    return [*done, *running.values()]


def overlaps(found: Sequence[Run]) -> Iterator[tuple[Run, Run, float, float]]:
    """Two runs of different nodes at one time, and from when to when."""
    for one, other in combinations(found, 2):
        begins, ends = max(one.first, other.first), min(one.last, other.last)
        if one.node != other.node and begins < ends:
            yield one, other, begins, ends


def _resigned(seen: Seen) -> Iterator[str]:
    for sample in seen.samples:
        if sample.phase == "resigning":
            yield f"{sample.node} resigned"


def _moved(seen: Seen) -> Iterator[str]:
    masters = {node for node, sample in seen.before.items() if sample.state == "MASTER"}
    for sent in seen.adverts:
        if sent.priority and sent.at > seen.since and sent.node not in masters:
            yield f"{sent.node} became MASTER"


def _two(seen: Seen) -> Iterator[str]:
    for one, other, begins, ends in overlaps(runs(seen.adverts, seen.advert_int)):
        if ends - begins > 2 * seen.advert_int + LATE:
            yield f"{one.node} and {other.node} sent adverts for {ends - begins:.1f} s"


def _lied(seen: Seen) -> Iterator[str]:
    """For longer than `settle`, which havrrpd has to make up its mind."""
    found = runs(seen.adverts, seen.advert_int)
    since: dict[tuple[str, str], float] = {}
    for sample in seen.samples:
        lies = set(_lies(sample, found, seen.advert_int)) if sample.sure_master else set()
        for lie in {lie for node, lie in since if node == sample.node} - lies:
            del since[sample.node, lie]
        for lie in lies:
            if sample.at - since.setdefault((sample.node, lie), sample.at) > SETTLE:
                yield f"{sample.node} was shown as MASTER {lie}"


def _lies(sample: Sample, found: Sequence[Run], advert_int: float) -> Iterator[str]:
    silence, contest = 3 * advert_int + SETTLE + LATE, 2 * advert_int + LATE
    own = [run for run in found if run.node == sample.node]
    if not any(run.first - LATE <= sample.at <= run.last + silence for run in own):
        yield "and sent no advert"
    for one, other, begins, ends in overlaps(found):
        if begins + contest < sample.at < ends and sample.node in (one.node, other.node):
            yield "beside another one"


def _troubled(seen: Seen) -> Iterator[str]:
    for sample in seen.samples:
        before = seen.before[sample.node]
        if sample.problems:
            yield f"{sample.node} showed {', '.join(sorted(sample.problems))}"
        if (sample.state, sample.transitions) != (before.state, before.transitions):
            yield f"{sample.node} went from {before.state} to {sample.state}: {sample.cause}"


def _ended(seen: Seen) -> Iterator[str]:
    yield from seen.ended


_LOOK_FOR: Mapping[Never, Callable[[Seen], Iterator[str]]] = {
    Never.RESIGN: _resigned,
    Never.MOVE: _moved,
    Never.TWO: _two,
    Never.LIE: _lied,
    Never.TROUBLE: _troubled,
    Never.END: _ended,
}
