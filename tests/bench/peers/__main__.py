"""One peer, or all, by hand: `python -m tests.bench.peers --only 29.0.0 --routers 10`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from tests.bench.figure import Figure
from tests.bench.peers import check_script
from tests.bench.peers.measure import measure, measure_few
from tests.bench.peers.neutron import PEERS

TABLE_SIZE = (10, 50)
CHECK_SCRIPT = "check-script"


def main() -> None:
    versions = {peer.version: peer for peer in PEERS}
    names = (*versions, CHECK_SCRIPT)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--routers", nargs="+", type=int, default=TABLE_SIZE)
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    options = parser.parse_args()

    def figures() -> Iterator[Figure]:
        for name in options.only:
            if name == CHECK_SCRIPT:
                yield from check_script.measure()
            else:
                for count in options.routers:
                    yield from measure(versions[name], count)
                yield from measure_few(versions[name])

    for figure in figures():
        print(figure, flush=True)


if __name__ == "__main__":
    main()
