"""Where the rows of the matrix are played: a lab with real keepalived, and what watches it."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from math import inf
from types import TracebackType
from typing import Self

from havrrpd.lab.lab import Lab
from havrrpd.lab.wire import Sent, Wire
from tests.faults.every import FAULTS
from tests.faults.expecting import Expecting
from tests.faults.judge import Seen, violation
from tests.faults.place import Place
from tests.faults.watch import Watch
from tests.faults.words import LATE, Hits, Limit, Row

ADVERT_INT = 1.0
RUNNING = 4  # advert intervals ahead of a fault, in which its MASTER was heard
START = Limit(30.0)
CONFIG = '[log]\nlevel = "debug"\n'  # which says what vanished from /proc


class Stage:
    """A context manager. After a row that failed it is of no more use."""

    def __init__(self) -> None:
        self.lab = Lab(nodes=3, advert_int=ADVERT_INT, havrrpd_config=CONFIG, keep_logs=True)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.lab)
            self.wire = stack.enter_context(Wire(self.lab))
            self.watch = stack.enter_context(Watch(self.lab))
            self.expecting = Expecting(self.lab.names, self.watch, ADVERT_INT, LATE)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def play(self, row: Row) -> list[str]:
        """Do the fault, see it said, put it right, and see that all is right again.

        Returns how long each took. Raises AssertionError for what was not said, or happened.
        """
        master, _ = self.expecting.well(START, time.monotonic(), self.lab.holders)
        name = master
        if row.hits is Hits.BACKUP:
            name = next(each for each in self.lab.names if each != master)
        self.watch.forget()
        self._look()
        place, took, logs = Place(self.lab, name, look=self._look), [], self._logs()
        with FAULTS[row.name](place):
            for says in row.says:
                took.append(f"{self.expecting.said(says, name, place.began):.2f} of {says}")
            self._last_for(row, place)
            mending = time.monotonic()
        _, well = self.expecting.well(row.again, time.monotonic(), self.lab.holders)
        took.append(f"{well:.2f} of {row.again}, right again")
        until = min(place.ended, mending if row.moves_when_mended else time.monotonic())
        seen = self._seen(place, until, self._ended(logs, place))
        for never in row.never:
            found = violation(never, seen)
            assert found is None, f"{row.name}: never {never}: {found}"
        return took

    def _look(self) -> None:
        """Until every node has answered once more."""
        since = time.monotonic()
        while {s.node for s in self.watch.samples(since)} != set(self.lab.names):
            self.watch.wait_more(1.0)

    def _seen(self, place: Place, until: float, ended: list[str]) -> Seen:
        samples = self.watch.samples(0.0)
        before = {s.node: s for s in samples if s.at <= place.judged}
        judged = [s for s in samples if place.judged < s.at <= until]
        adverts = self._adverts(place.judged - RUNNING * ADVERT_INT, until)
        longest = max(each for sample in judged for each in sample.advert_ints)
        return Seen(longest, place.judged, before, judged, adverts, ended)

    def _last_for(self, row: Row, place: Place) -> None:
        """What must not happen has a while to happen in."""
        while (left := place.began + row.lasts - time.monotonic()) > 0:
            self.watch.wait_more(left)

    def _adverts(self, since: float, until: float) -> list[Sent]:
        ahead = time.time() - time.monotonic()
        sent = (replace(s, at=s.at - ahead) for s in self.wire.adverts(since + ahead))
        return [s for s in sent if s.at <= until]

    def _logs(self) -> dict[str, tuple[int, int]]:
        return {n: (p.pid, p.log.stat().st_size) for n, p in self.lab.havrrpd.items()}

    def _ended(self, before: dict[str, tuple[int, int]], place: Place) -> list[str]:
        """After `place.ended` the fault itself may start another havrrpd."""
        found = []
        for name, (pid, size) in before.items():
            havrrpd = self.lab.havrrpd[name]
            restarted = name == place.name and place.ended < inf
            if not restarted and (havrrpd.pid != pid or not havrrpd.running):
                found.append(f"havrrpd of {name} ended")
            with havrrpd.log.open() as log:
                log.seek(size)
                if "Traceback" in (text := log.read()):
                    found.append(f"havrrpd of {name}: {text[text.index('Traceback') :][-2000:]}")
        return found
