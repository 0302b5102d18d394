"""`make round-robin`: the turns of nodes that all lost their gateways, with real keepalived.

A table with two rows for each case: havrrpd, and the check script that operators write today. What
it says is read from the adverts on the wire. `--quick` takes two cases, `--by havrrpd`
leaves the script out, `--markdown` prints the table for the docs, `--record DIR` writes what was on
the wire with havrrpd, a file for each case.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from havrrpd.lab.lab import Lab
from havrrpd.lab.turns import Turn, counts, unfairness
from havrrpd.lab.waiting import LabError
from havrrpd.lab.wire import Wire
from tests.bench import outage
from tests.bench.outage import Outage, Returned

HAVRRPD, SCRIPT = "havrrpd", "script"
ADVERT_INT = 1
WATCHED = 15.0
TURNS, QUICK_TURNS = 30, 12
LARGEST_RECORD = 60_000  # bytes


@dataclass(frozen=True, slots=True)
class Case:
    nodes: int
    delay: float
    base_priority: int
    version: int
    havrrpd: bool  # else a check script

    @property
    def by(self) -> str:
        return HAVRRPD if self.havrrpd else SCRIPT

    @property
    def name(self) -> str:
        milliseconds = round(self.delay * 1000)
        return f"{self.nodes}-nodes-{milliseconds}ms-base{self.base_priority}-v{self.version}"


@dataclass(frozen=True, slots=True)
class Measured:
    case: Case
    turns: Sequence[Turn]
    returned: Returned
    record: str  # JSON


CASES = [
    Case(*values) for values in product((3, 5), (0.0, 0.002), (50, 150), (2, 3), (True, False))
]
QUICK = [
    *(Case(3, 0.002, 50, 2, havrrpd) for havrrpd in (True, False)),
    *(Case(5, 0.002, 150, 3, havrrpd) for havrrpd in (True, False)),
]
HEADINGS = (
    *("nodes", "delay", "base", "VRRP", "by", "turns of the nodes", "difference", "two masters"),
    *("takeover", "worst", "served after", "keeps it", "moved later"),
)


def main() -> int:
    options = _options()
    cases = [case for case in (QUICK if options.quick else CASES) if case.by in options.by]
    turns = QUICK_TURNS if options.quick else TURNS
    rows: list[tuple[str, ...]] = [HEADINGS]
    failed = 0
    # Processes of their own, not forked from one that has threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.jobs, context) as pool:
        started = [pool.submit(_measure, case, turns) for case in cases]
        for number, (case, future) in enumerate(zip(cases, started, strict=True), start=1):
            try:
                measured = future.result()
            except LabError as error:
                failed += 1
                print(f"{case}: {error}", file=sys.stderr)
                continue
            rows.append(_row(measured))
            _record(measured, options.record)
            print(f"{number} of {len(cases)}: {' '.join(rows[-1])}", file=sys.stderr)
    print(_markdown(rows) if options.markdown else _text(rows))
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="two cases, 12 turns")
    parser.add_argument("--by", nargs="+", choices=(HAVRRPD, SCRIPT), default=(HAVRRPD, SCRIPT))
    parser.add_argument("--markdown", action="store_true", help="print the table for the docs")
    parser.add_argument("--record", type=Path, metavar="DIR", help="write what was on the wire")
    parser.add_argument("--jobs", type=int, default=4, help="labs side by side (4)")
    return parser.parse_args()


# --- one case ---


def _measure(case: Case, turns: int) -> Measured:
    """LabError if the turns stop, with the logs and the wire left where it says."""
    with _lab(case) as lab, Wire(lab) as wire:
        outage.steady(lab)
        running = Outage(lab, wire)
        try:
            taken = running.wait_turns(turns)
            record = _recorded(case, lab, running, turns)
            returned = running.gateway_returns(WATCHED)
        except LabError as error:
            (lab.logs / "wire.json").write_text(_recorded(case, lab, running))
            raise LabError(f"{error}, see {lab.logs}") from error
        return Measured(case, taken, returned, record)


def _lab(case: Case) -> Lab:
    return Lab(
        nodes=case.nodes,
        base_priority=case.base_priority,
        advert_int=ADVERT_INT,
        version=case.version,
        delay=case.delay,
        havrrpd=case.havrrpd,
        fifo=case.havrrpd,
        lever=case.havrrpd,
        check_script=not case.havrrpd,
        health_interval=outage.HEALTH_INTERVAL,
        health_check=outage.HEALTH_CHECK,
        havrrpd_config=outage.HAVRRPD_CONFIG,
        keep_logs=True,
    )


def _recorded(case: Case, lab: Lab, running: Outage, turns: int | None = None) -> str:
    """The wire as it was, for the simulation; its first advert is the last before the outage.

    It ends where the turn after so many begins.
    """
    end = running.turns()[turns].begins if turns is not None else float("inf")
    adverts = [sent for sent in running.adverts() if sent.at <= end]
    router = lab.routers[0]
    nodes = {
        name: router.ha_address(number).split("/")[0]
        for number, name in enumerate(lab.names, start=1)
    }
    facts = {
        "version": case.version,
        "base_priority": case.base_priority,
        "advert_int": ADVERT_INT,
        "delay": case.delay,
        "router": router.id,
        "nodes": nodes,
        "health_check": {"interval": outage.HEALTH_INTERVAL, **outage.HEALTH_CHECK},
        "max_dwell": outage.MAX_DWELL,
        "gateways_lost_at": 0.0,
    }
    lines = [json.dumps([round(s.at - running.began, 6), s.node, s.priority]) for s in adverts]
    head = json.dumps(facts, indent=1).removesuffix("\n}")
    return head + ',\n "adverts": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n"


def _record(measured: Measured, directory: Path | None) -> None:
    if directory is None or not measured.case.havrrpd:
        return
    if len(measured.record) > LARGEST_RECORD:
        raise LabError(f"the record of {measured.case.name} is too large: {len(measured.record)}")
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{measured.case.name}.json").write_text(measured.record)


# --- the table ---


def _row(measured: Measured) -> tuple[str, ...]:
    case, turns, returned = measured.case, measured.turns, measured.returned
    nodes = [f"network{number}" for number in range(1, case.nodes + 1)]
    takeovers = [turn.takeover for turn in turns if turn.takeover is not None]
    return (
        str(case.nodes),
        f"{case.delay * 1000:g} ms",
        str(case.base_priority),
        f"v{case.version}",
        case.by,
        "/".join(str(count) for count in counts(turns, nodes).values()),
        str(unfairness(turns, nodes)),
        _share(turns),
        f"{statistics.median(takeovers):.2f} s",
        f"{max(takeovers):.2f} s",
        *_after_return(returned),
    )


def _share(turns: Sequence[Turn]) -> str:
    """Of elections in which two nodes were MASTER for a moment; the longest one, if any."""
    elections = turns[1:]
    contested = [turn for turn in elections if turn.others]
    if not contested:
        return "0"
    longest = max(turn.contested for turn in contested)
    return f"{len(contested)} of {len(elections)}, {longest * 1000:.0f} ms"


def _after_return(returned: Returned) -> tuple[str, str, str]:
    if returned.turns_before is None:
        return "never", "-", "-"
    return (
        f"{returned.turns_before} more",
        "yes" if returned.kept else "no",
        str(returned.moved or "none"),
    )


def _text(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
    return "\n".join(lines)


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *body))


if __name__ == "__main__":
    sys.exit(main())
