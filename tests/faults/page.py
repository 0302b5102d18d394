"""The table of docs/faults.md. `python -m tests.faults.page` writes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.faults import rows
from tests.faults.words import Never, Row

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
BEGIN = "<!-- every fault: written by tests/faults/page.py -->\n"
END = "<!-- end -->\n"
LETTERS = dict(zip(Never, "ABCDEF", strict=True))
PARTS: Mapping[str, Sequence[Row]] = {
    "keepalived's processes": rows.PROCESSES,
    "keepalived's configuration": rows.RELOADS,
    "addresses, links, namespaces": rows.LINKS,
    "the FIFO and the lever": rows.PATHS,
    "the node and havrrpd itself": rows.MACHINE,
}


def tables() -> str:
    return "\n".join(line for part, of_it in PARTS.items() for line in _table(part, of_it))


def _table(part: str, of_it: Sequence[Row]) -> Iterator[str]:
    yield f"### {part}\n"
    yield "| fault | what havrrpd says, and within | never | right again when, and within |"
    yield "|---|---|---|---|"
    notes = []
    for row in of_it:
        mark = ""
        if row.note:
            notes.append(row.note)
            mark = f" ({len(notes)})"
        says = "<br>".join(str(says) for says in row.says)
        never = "".join(LETTERS[never] for never in Never if never in row.never)
        yield f"| {row.fault}{mark} | {says} | {never} | {row.right}, {row.again} |"
    yield ""
    for number, note in enumerate(notes, start=1):
        yield f"({number}) {note}\n"


def legend() -> str:
    return "\n".join(f"- **{letter}**: {never}" for never, letter in LETTERS.items()) + "\n\n"


def written() -> str:
    """What stands between BEGIN and END."""
    return legend() + tables()


def main() -> None:
    head, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(f"{head}{BEGIN}{written()}{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
