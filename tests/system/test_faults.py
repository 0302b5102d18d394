"""The fault matrix, each row with real keepalived on three nodes: docs/faults.md."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.rows import ROWS
from tests.faults.stage import Stage
from tests.faults.words import Row

pytestmark = pytest.mark.root


class Stages:
    """One stage for all rows; another one after a row that failed."""

    def __init__(self) -> None:
        self._stage: Stage | None = None

    def play(self, row: Row) -> list[str]:
        if self._stage is None:
            self._stage = Stage().__enter__()
        try:
            return self._stage.play(row)
        except BaseException as error:
            self.end(error)
            raise

    def end(self, error: BaseException | None = None) -> None:
        stage, self._stage = self._stage, None
        if stage is not None:
            stage.__exit__(type(error) if error else None, error, None)


@pytest.fixture(scope="module")
def stages() -> Iterator[Stages]:
    made = Stages()
    try:
        yield made
    finally:
        made.end()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_havrrpd_says_what_the_row_says(row: Row, stages: Stages) -> None:
    for took in stages.play(row):
        print(took)
