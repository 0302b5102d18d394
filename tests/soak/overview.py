"""What two havrrpds say of many routers, again and again, by a thread for each node."""

from __future__ import annotations

import http.client
import threading
import time
from collections import defaultdict
from dataclasses import dataclass

from havrrpd.lab.lab import Lab
from havrrpd.lab.waiting import LabError
from tests.faults.looking import Looking
from tests.faults.watch import Sample, sample_of

EVERY = 0.3  # seconds between two looks
KEPT = 60.0  # seconds


class Overview(Looking):
    """A context manager: from entry to exit the samples of the last minute are kept."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab.names, EVERY)
        self.more = threading.Condition()
        self.kept: dict[str, list[Sample]] = defaultdict(list)  # by router
        self._lab = lab

    def of(self, number: int) -> OfOne:
        return OfOne(self, self._lab.routers[number - 1].id)

    def masters(self, node: str) -> int:
        """How many routers the node is MASTER of, by its newest answer."""
        newest = (self.of(router.number).newest() for router in self._lab.routers)
        return sum(samples[node].state == "MASTER" for samples in newest)

    def look(self, name: str) -> None:
        try:
            shown = self._lab.node(name).status()
        except (OSError, LabError, http.client.HTTPException):
            return  # it has no sample then
        self._keep(name, {router["router"]: router for router in shown["routers"]})

    def _keep(self, name: str, routers: dict[str, dict[str, object]]) -> None:
        now = time.monotonic()
        with self.more:
            for router in self._lab.routers:
                samples = self.kept[router.id]
                samples.append(sample_of(now, name, routers.get(router.id)))
                if samples[0].at < now - 2 * KEPT:
                    self.kept[router.id] = [s for s in samples if s.at >= now - KEPT]
            self.more.notify_all()


@dataclass(frozen=True, slots=True)
class OfOne:
    """The samples of one router."""

    overview: Overview
    router: str

    def samples(self, since: float) -> list[Sample]:
        return [s for s in list(self.overview.kept[self.router]) if s.at >= since]

    def newest(self) -> dict[str, Sample]:
        return {sample.node: sample for sample in list(self.overview.kept[self.router])}

    def wait_more(self, seconds: float) -> None:
        with self.overview.more:
            self.overview.more.wait(seconds)
