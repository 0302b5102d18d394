"""Waiting for what the nodes of a lab should say of one router, and for all to be right again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from tests.faults.watch import Sample
from tests.faults.words import Limit, Node, Says

WELL = {"MASTER": "sending", "BACKUP": "hearing"}  # what the wire shows where all is well


class Samples(Protocol):
    """Of one router, as they come."""

    def samples(self, since: float) -> list[Sample]: ...

    def newest(self) -> dict[str, Sample]: ...

    def wait_more(self, seconds: float) -> None: ...


class Expecting:
    """`late`: seconds that the machine and the looking may take beside what is promised."""

    def __init__(
        self, names: Sequence[str], samples: Samples, advert_int: float, late: float
    ) -> None:
        self._names = names
        self._samples = samples
        self._advert_int = advert_int
        self._late = late

    def said(self, says: Says, here: str, began: float) -> float:
        """Wait for it; after how many seconds it was said. AssertionError: not in time."""
        limit = says.within.of(self._advert_int) + self._late
        while True:
            at = self._first(says, here, self._samples.samples(began))
            if at is not None:
                assert at - began <= limit, f"{says}: said after {at - began:.1f} s"
                return at - began
            if time.monotonic() > began + limit + self._late:
                newest = [_short(sample) for sample in self._samples.newest().values()]
                raise AssertionError(f"{here} is here. Not said: {says}. Said: {newest}")
            self._samples.wait_more(0.1)

    def well(
        self, limit: Limit, since: float, holders: Callable[[], list[str]]
    ) -> tuple[str, float]:
        """Wait until nothing is wrong anywhere; the MASTER, and the seconds from `since` on."""
        deadline = since + limit.of(self._advert_int) + self._late
        while True:
            newest = {n: s for n, s in self._samples.newest().items() if s.at >= since}
            wrong = _wrong(self._names, newest)
            if wrong is None:
                (master,) = (name for name, s in newest.items() if s.state == "MASTER")
                if (found := holders()) == [master]:
                    return master, max(s.at for s in newest.values()) - since
                wrong = f"the kernel has the address on {found}"
            if time.monotonic() > deadline:
                raise AssertionError(f"not right again within {limit}: {wrong}")
            self._samples.wait_more(0.1)

    def _first(self, says: Says, here: str, samples: Sequence[Sample]) -> float | None:
        """When it was said first, by those who must say it; None: not yet."""
        first: dict[str, float] = {}
        for sample in samples:
            everywhere = says.node is Node.EVERYWHERE
            if (everywhere or (sample.node == here) is (says.node is Node.HERE)) and _says(
                sample, says
            ):
                first.setdefault(sample.node, sample.at)
        if says.node is Node.EVERYWHERE:
            return max(first.values()) if len(first) == len(self._names) else None
        return min(first.values(), default=None)


def _says(sample: Sample, says: Says) -> bool:
    return (
        sample.state == says.state
        and sample.problems >= set(says.problems)
        and says.cause in (None, sample.cause)
        and says.notification in (None, sample.notification)
    )


def _wrong(names: Sequence[str], newest: Mapping[str, Sample]) -> str | None:
    """The first thing that is wrong with a router."""
    for name in names:
        if name not in newest:
            return f"{name} does not answer"
        if (wrong := _wrong_with(newest[name])) is not None:
            return f"{name}: {newest[name].state}, {wrong}"
    masters = [name for name in names if newest[name].state == "MASTER"]
    return None if len(masters) == 1 else f"masters: {masters}"


def _wrong_with(sample: Sample) -> str | None:
    if sample.problems or sample.state not in WELL:
        return f"problems {sorted(sample.problems)}"
    (instance,) = sample.whole["instances"]
    if (wire := instance["witnesses"]["wire"]) != WELL[sample.state]:
        return f"the wire is {wire}"
    if sample.notification not in (sample.state, "none"):
        return f"notified {sample.notification}"
    if sample.state == "MASTER" and (seen := sample.whole["connectivity"]) != "reachable":
        return f"gateways {seen}"
    return None if sample.phase == "steady" else sample.phase


def _short(sample: Sample) -> str:
    what = (sample.state, sorted(sample.problems), sample.cause, sample.phase, sample.notification)
    return f"{sample.node}: {what}"
