"""Pages of docs/ of which a part is written by a test module, run as a command."""

from __future__ import annotations

from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
END = "<!-- end -->\n"


class Page:
    """A page with a part between two comments, of which the first names who writes it."""

    def __init__(self, name: str, what: str) -> None:
        stem = Path(name).stem
        self._path = DOCS / name
        self._command = f"python -m tests.unit.test_{stem}_docs"
        self._begin = f"<!-- {what}: written by {self._command} -->\n"

    def must_be_current(self, part: str) -> None:
        before, _, rest = self._path.read_text().partition(self._begin)
        found, end, _ = rest.partition(END)
        assert before
        assert end
        assert found == part, f"out of date: {self._command}"

    def write(self, part: str) -> None:
        before, begin, rest = self._path.read_text().partition(self._begin)
        assert begin, f"{self._path} has no line {self._begin}"
        self._path.write_text(f"{before}{begin}{part}{END}{rest.partition(END)[2]}")
