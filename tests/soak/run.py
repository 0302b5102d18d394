"""`make soak`: random faults of the matrix on fifty routers with real keepalived, all the time.

At the end, at rest: no leak, all states right, and every counter equal to what was done.
"""

from __future__ import annotations

import argparse
import random
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import havrrpd
from havrrpd.lab.daemon import CONFIG, configuration
from havrrpd.lab.lab import Lab
from havrrpd.lab.plan import Plan
from tests.faults.words import Limit
from tests.soak.driver import Driver
from tests.soak.observed import COUNT
from tests.soak.overview import Overview
from tests.soak.usage import Usage, growth, leaks, usage

ROUTERS = 50  # on two nodes: a keepalived takes one of root's 128 inotify instances
WORKERS = 4
WARM_UP = 0.25  # of the time, ahead of what is measured
LOOK = 2.0  # seconds
REST = Limit(60.0)
SPARED = "network1"
STALE = 30.0  # seconds
SOCKETS = 6  # of a MASTER: two ask the kernel, and each of two gateways is asked in two ways
LOG = '[log]\nlevel = "debug"\n'  # which says what vanished from /proc


class Soak:
    def __init__(self, lab: Lab, seconds: float, seed: int) -> None:
        self._lab = lab
        self._seconds = seconds
        self._used: list[Usage] = []
        self._ended = threading.Event()
        self._overview = Overview(lab)
        self._driver = Driver(lab, self._overview, seed, SPARED)

    def run(self) -> list[str]:
        """What was wrong."""
        with self._overview:
            self._driver.opens()
            print(f"{ROUTERS} routers are right on two nodes", flush=True)
            measuring = threading.Thread(target=self._measure)
            measuring.start()
            try:
                before = self._phase(WARM_UP, "after the warm-up")
                self._used.clear()
                after = self._phase(1 - WARM_UP, "at the end")
            finally:
                self._ended.set()
                measuring.join()
        lines = "\n".join(str(used) for used in self._used)
        (self._lab.logs / "usage.log").write_text(f"{lines}\n")
        done = self._driver.done
        print(f"{done.total()} faults: {', '.join(f'{n} {w}' for w, n in done.most_common())}")
        if before is None or after is None:
            return self._driver.wrong
        print(f"memory: {growth(self._used):+.2f} MB an hour, of {len(self._used)} looks")
        return [*self._driver.wrong, *leaks(self._used, before, after)]

    def _phase(self, share: float, when: str) -> Usage | None:
        """A share of the time, and what is used at rest behind it; None: havrrpd has ended."""
        self._driver.run(self._seconds * share, WORKERS)
        self._rest()
        if not self._lab.havrrpd[SPARED].running:
            return None
        used = self._at_rest()
        print(f"{when}: {used}", flush=True)
        return used

    def _rest(self) -> None:
        """All is right, and nothing else was counted than what was done."""
        try:
            self._driver.all_well(REST)
            self._driver.wrong += self._driver.differences()
        except (AssertionError, OSError) as error:
            self._driver.wrong.append(f"at rest: {error}")

    def _measure(self) -> None:
        while not self._ended.wait(LOOK):
            try:
                self._used.append(self._usage())
            except OSError as error:
                self._driver.wrong.append(f"havrrpd of {SPARED} has ended: {error}")
                return

    def _usage(self) -> Usage:
        counted = self._lab.node(SPARED).path(str(COUNT)).read_text()
        tasks, blocks, written = (int(count) for count in counted.split())
        assert time.time() - written < STALE, "nobody counts the tasks any more"
        return usage(time.monotonic(), self._lab.havrrpd[SPARED].pid, tasks, blocks)

    def _at_rest(self) -> Usage:
        """Without the gateways' sockets: only MASTERs have them, now more and now less of them."""
        used, masters = self._usage(), self._overview.masters(SPARED)
        return replace(used, descriptors=used.descriptors - SOCKETS * masters)


def start_observed(lab: Lab) -> None:
    """havrrpd of the spared node again, with one that counts its tasks."""
    lab.stop_havrrpd(SPARED)
    node = lab.node(SPARED)
    node.path(CONFIG).write_text(configuration(SPARED, lab.plan))
    lab.havrrpd[SPARED] = node.start(
        [sys.executable, "-m", "tests.soak.observed", "run", "--config", CONFIG],
        log=f"{SPARED}-havrrpd.log",
        environment={"PYTHONPATH": str(Path(havrrpd.__file__).parents[1])},
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.minutes:g} minutes", flush=True)
    plan = Plan(nodes=2, routers=ROUTERS, havrrpd_config=LOG)
    with Lab(plan, keep_logs=True) as lab:
        start_observed(lab)
        wrong = Soak(lab, options.minutes * 60, options.seed).run()
        if wrong:
            print("\n".join(f"WRONG: {line}" for line in wrong))
            print(f"the logs are in {lab.logs}")
            raise SystemExit(1)
    print("nothing leaked, all states are right, every counter is what was done")
    return 0


if __name__ == "__main__":
    sys.exit(main())
