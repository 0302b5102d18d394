"""The fault matrix beside its runs: no row without a fault, a page that is current, true verdicts.

The runs themselves are in tests/system/test_faults.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from havrrpd.lab.wire import Sent
from tests.faults import page
from tests.faults.every import FAULTS
from tests.faults.judge import Run, Seen, runs, violation
from tests.faults.rows import ROWS
from tests.faults.watch import Sample
from tests.faults.words import Limit, Never

ADVERT_INT = 1.0


def sample(at: float, state: str, *problems: str, node: str = "a", phase: str = "steady") -> Sample:
    return Sample(at, node, state, frozenset(problems), None, phase, state, 1, {})


def adverts(node: str, *times: float, priority: int = 100) -> list[Sent]:
    return [Sent(at, node, 1, priority) for at in times]


def seen(samples: Sequence[Sample], sent: Sequence[Sent]) -> Seen:
    before = {"a": sample(0.0, "MASTER"), "b": sample(0.0, "BACKUP", node="b")}
    return Seen(ADVERT_INT, 0.0, before, samples, sent)


def test_each_row_has_a_fault_and_each_fault_a_row() -> None:
    names = [row.name for row in ROWS]
    assert sorted(names) == sorted(FAULTS)
    assert len(set(names)) == len(names)


def test_the_page_has_every_row_as_it_is_tested() -> None:
    before, _, rest = page.PAGE.read_text().partition(page.BEGIN)
    found, _, _ = rest.partition(page.END)
    assert before
    assert found == page.written(), "out of date: python -m tests.faults.page"
    assert sum(len(part) for part in page.PARTS.values()) == len(ROWS)


def test_a_limit_is_said_in_advert_intervals_and_seconds() -> None:
    assert str(Limit(1.5, adverts=3)) == "3 x advert_int + 1.5 s"
    assert str(Limit(0.5)) == "0.5 s"
    assert Limit(1.5, adverts=3).of(2.0) == 7.5


def test_adverts_make_runs_that_end_with_a_resignation_or_a_silence() -> None:
    sent = [*adverts("a", 0, 1, 2), *adverts("a", 2.5, priority=0), *adverts("a", 9, 10)]
    assert runs(sent, ADVERT_INT) == [Run("a", 0, 2), Run("a", 9, 10)]


@pytest.mark.parametrize(
    ("never", "samples", "sent", "how"),
    [
        (Never.RESIGN, [sample(1, "MASTER", phase="resigning")], [], "a resigned"),
        (Never.MOVE, [], adverts("b", 1), "b became MASTER"),
        (
            Never.TWO,
            [],
            [*adverts("a", 0, 1, 2, 3, 4), *adverts("b", 0.5, 1.5, 2.5, 3.5, 4.5)],
            "a and b sent adverts for 3.5 s",
        ),
        (
            Never.LIE,
            [sample(6.5, "MASTER"), sample(6.8, "MASTER")],
            adverts("a", 0, 1, 2),
            "a was shown as MASTER and sent no advert",
        ),
        (
            Never.LIE,
            [sample(3.6, "MASTER", node="b"), sample(3.9, "MASTER", node="b")],
            [*adverts("a", 0, 1, 2, 3, 4), *adverts("b", 0.5, 1.5, 2.5, 3.5, 4.5)],
            "b was shown as MASTER beside another one",
        ),
        (Never.TROUBLE, [sample(1, "MASTER", "adverts_stopped")], [], "a showed adverts_stopped"),
        (Never.TROUBLE, [sample(1, "FAULT")], [], "a went from MASTER to FAULT: None"),
    ],
)
def test_what_must_never_happen_is_found(
    never: Never, samples: list[Sample], sent: list[Sent], how: str
) -> None:
    assert violation(never, seen(samples, sent)) == how


@pytest.mark.parametrize("never", [*Never])
def test_a_proper_takeover_is_no_violation_but_a_move(never: Never) -> None:
    samples = [sample(0.4, "MASTER"), sample(2, "BACKUP"), sample(2, "MASTER", node="b")]
    sent = [*adverts("a", -1, 0), *adverts("a", 0.5, priority=0), *adverts("b", 1.1, 2.1)]
    found = violation(never, seen(samples, sent))
    assert (found is None) is (never not in (Never.MOVE, Never.TROUBLE))


def test_a_master_that_is_corrected_at_once_does_not_lie() -> None:
    late = [sample(6.5, "MASTER"), sample(6.7, "BACKUP"), sample(6.8, "MASTER")]
    assert violation(Never.LIE, seen(late, adverts("a", 0, 1, 2))) is None


def test_a_master_that_names_its_problem_does_not_lie() -> None:
    silent = seen([sample(9, "MASTER", "adverts_stopped")], adverts("a", 0, 1, 2))
    assert violation(Never.LIE, silent) is None
