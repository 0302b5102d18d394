"""docs/doctor.md has every finding. `python -m tests.unit.test_doctor_docs` writes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from havrrpd.doctor.findings import Kind
from havrrpd.doctor.rules import MODULES

PAGE = Path(__file__).parents[2] / "docs" / "doctor.md"
BEGIN = "<!-- every finding: written by tests/unit/test_doctor_docs.py -->\n"
END = "<!-- end -->\n"


def tables() -> str:
    return "\n".join(line for module in MODULES for line in table(module.__doc__, module.KINDS))


def table(heading: str | None, kinds: tuple[Kind, ...]) -> Iterator[str]:
    assert heading is not None
    yield f"### {heading.splitlines()[0].removesuffix('.')}\n"
    yield "| finding | level | when | what to do |"
    yield "|---|---|---|---|"
    for kind in kinds:
        yield f"| `{kind.name}` | {kind.level} | {kind.when} | {kind.mend} |"
    yield ""


def test_the_page_has_every_finding_as_the_doctor_says_it() -> None:
    before, _, rest = PAGE.read_text().partition(BEGIN)
    found, _, _ = rest.partition(END)
    assert before
    assert found == tables(), "out of date: python -m tests.unit.test_doctor_docs"


def test_no_sentence_breaks_its_table() -> None:
    for module in MODULES:
        for kind in module.KINDS:
            assert not set("|\n") & set(kind.when + kind.mend), kind.name


if __name__ == "__main__":
    head, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(f"{head}{BEGIN}{tables()}{END}{rest.partition(END)[2]}")
