"""The chaos driver: random faults of the matrix on random routers, and the books of them."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from havrrpd.lab.client import get
from havrrpd.lab.lab import Lab
from tests.faults.every import FAULTS
from tests.faults.expecting import Expecting
from tests.faults.place import Place
from tests.faults.rows import ROWS
from tests.faults.words import Hits, Limit, Node, Row
from tests.soak.effects import ALONE, EFFECTS, FORGETTING, RESTARTING, UNANSWERED
from tests.soak.ledger import Counts, Ledger, counted
from tests.soak.overview import Overview

LATE = 4.0  # seconds: four faults at a time, a hundred keepaliveds, two cores
START = Limit(180.0)
SCRAPE_LIMIT = 10.0
ALONE_EVERY = 12  # faults
MOST_WRONG = 8

_ROWS: Mapping[str, Row] = {row.name: row for row in ROWS}


@dataclass(frozen=True, slots=True)
class Chosen:
    row: Row
    number: int  # of the router


class Driver:
    """`spared`: the node whose havrrpd is never restarted: what it uses is measured."""

    def __init__(self, lab: Lab, overview: Overview, seed: int, spared: str) -> None:
        self.done: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._lab = lab
        self._overview = overview
        self._random = random.Random(seed)
        self._spared = spared
        self._ledger = Ledger()
        self._busy: set[int] = set()
        self._broken: set[int] = set()  # on which a fault was not said, or did not end
        self._lock = threading.Lock()
        self._until = 0.0

    # --- the whole ---

    def opens(self) -> None:
        """Wait until every router is right, and open the books."""
        self.all_well(START)
        for name in self._lab.names:
            self._open_books_of(name)

    def run(self, seconds: float, workers: int) -> None:
        """Faults until the time is over, or something is wrong. All is right again at its end."""
        self._until = time.monotonic() + seconds
        while self._goes_on():
            threads = [threading.Thread(target=self._work) for _ in range(workers)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            if self._goes_on():
                self._do(self._choose(tuple(ALONE)))

    def all_well(self, limit: Limit) -> None:
        since = time.monotonic()
        for number in (router.number for router in self._lab.routers):
            if number not in self._broken:
                self._expecting(number).well(limit, since, self._holders(number))

    def differences(self) -> list[str]:
        """Between the books and the counters, while nothing is done."""
        now = {
            (name, router): counts
            for name in self._lab.names
            for router, counts in counted(self._metrics(name)).items()
        }
        return self._ledger.differences(now)

    # --- one fault ---

    def _goes_on(self) -> bool:
        return time.monotonic() < self._until and len(self.wrong) < MOST_WRONG

    def _work(self) -> None:
        """A share of the faults that come between two that need the lab for themselves."""
        for _ in range(ALONE_EVERY):
            if self._goes_on():
                self._do(self._choose(tuple(EFFECTS)))

    def _choose(self, names: tuple[str, ...]) -> Chosen:
        with self._lock:
            taken = self._busy | self._broken
            free = [r.number for r in self._lab.routers if r.number not in taken]
            chosen = Chosen(_ROWS[self._random.choice(names)], self._random.choice(free))
            self._busy.add(chosen.number)
            return chosen

    def _do(self, chosen: Chosen) -> None:
        try:
            self._play(chosen.row, chosen.number)
        except Exception as error:
            self._broken.add(chosen.number)
            self._complain(f"{chosen.row.name} on router {chosen.number}: {error!r}")
            if chosen.row.name in RESTARTING:  # the others' counters began anew all the same
                self.all_well(START)
                self._open_books_of(self._other(self._spared))
        self._busy.discard(chosen.number)
        self.done[chosen.row.name] += 1

    def _complain(self, wrong: str) -> None:
        print(f"WRONG: {wrong}", flush=True)
        self.wrong.append(wrong)

    def _play(self, row: Row, number: int) -> None:
        expecting, holders = self._expecting(number), self._holders(number)
        master, _ = expecting.well(Limit(5.0), time.monotonic(), holders)
        name = master if row.hits is Hits.MASTER else self._other(master)
        if row.name in RESTARTING:
            name = self._other(self._spared)
        place = Place(self._lab, name, number)
        with FAULTS[row.name](place):
            for says in row.says if row.name not in RESTARTING else ():
                if says.node is not Node.HERE or row.name not in UNANSWERED:
                    expecting.said(says, name, place.began)
        expecting.well(row.again, time.monotonic(), holders)
        if row.name in ALONE:
            self.all_well(START)
        self._book(row, name, number)

    def _book(self, row: Row, here: str, number: int) -> None:
        if row.name in RESTARTING:
            self._open_books_of(here)
            return
        there = self._other(here)
        added = {name: self._added(name, number) for name in (here, there)}
        seen = (added[here], added[there])
        expected = EFFECTS.get(row.name) or ALONE[row.name]
        if row.name in FORGETTING:
            expected, seen = [(Counter(), o) for _, o in expected], (Counter(), seen[1])
        if not any(seen == (Counter(one), Counter(other)) for one, other in expected):
            counts = [dict(each) for each in seen]
            self._complain(f"{row.name} on router {number}: counted {counts}, here is {here}")

    def _added(self, name: str, number: int) -> Counts:
        router = self._lab.routers[number - 1].id
        return self._ledger.book(
            (name, router), counted(self._metrics(name)).get(router, Counter())
        )

    def _open_books_of(self, name: str) -> None:
        for router, counts in counted(self._metrics(name)).items():
            self._ledger.opens((name, router), counts)

    def _metrics(self, name: str) -> str:
        socket = self._lab.node(name).path("/run/havrrpd/havrrpd.sock")
        return get(socket, "/metrics", SCRAPE_LIMIT).decode()

    def _expecting(self, number: int) -> Expecting:
        samples = self._overview.of(number)
        return Expecting(self._lab.names, samples, self._lab.plan.advert_int, LATE)

    def _holders(self, number: int) -> Callable[[], list[str]]:
        return lambda: self._lab.holders(number)

    def _other(self, name: str) -> str:
        return next(each for each in self._lab.names if each != name)
