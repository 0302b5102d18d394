"""`make bench`: every figure of havrrpd, with few routers and with many, and of its peers.

Prints them as they come and writes docs/benchmarks.md. Exit 0 only if every limit holds.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench import few, real, scale
from tests.bench.figure import HAVRRPD, Figure
from tests.bench.growth import PACE, growths
from tests.bench.pace import pace
from tests.bench.peers import check_script
from tests.bench.peers.measure import measure, measure_few
from tests.bench.peers.neutron import PEERS
from tests.bench.report import page

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
WITH_PEERS = (10, 50)  # routers
THOROUGHLY = (10, scale.BIG)
OF_ALL = ("resting", "storms")  # with every number of routers


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--no-peers", action="store_true", help="havrrpd alone; writes no page")
    options = parser.parse_args()
    began = time.monotonic()
    figures = []
    for part in _parts(with_peers=not options.no_peers):
        for figure in part:
            print(figure, flush=True)
            figures.append(figure)
        figures.append(Figure(HAVRRPD, 0, PACE, pace(), "s"))
        print(figures[-1], flush=True)
    growing = list(growths(figures))
    print("\n".join(str(figure) for figure in growing))
    figures += growing
    if not options.no_peers:
        minutes = (time.monotonic() - began) / 60
        PAGE.write_text(page(figures, minutes, _machine()))
    return 0 if all(figure.holds for figure in figures) else 1


def _parts(*, with_peers: bool) -> Iterator[Iterator[Figure]]:
    yield few.measure()
    yield real.measure()
    for count in sorted({*scale.SIZES, *(WITH_PEERS if with_peers else ())}):
        yield scale.measure(count, scale.PARTS if count in THOROUGHLY else OF_ALL)
    if with_peers:
        for peer in PEERS:
            for count in WITH_PEERS:
                yield measure(peer, count)
            yield measure_few(peer)
        yield check_script.measure()


def _machine() -> str:
    kernel = platform.release().split("-")[0]
    return f"{os.cpu_count()} cores, Linux {kernel}, Python {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main())
