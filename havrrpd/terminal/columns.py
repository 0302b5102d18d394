"""Cells in columns, and which columns there is room for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from havrrpd.terminal.colours import FAINT, PLAIN, painted

_GAP = "  "


class Cell(NamedTuple):
    text: str
    colour: str = PLAIN


Row = Mapping[str, Cell]  # by column
Layout = Sequence[str]  # columns, from left to right


def laid_out(
    headings: Mapping[str, str], rows: Sequence[Row], layouts: Sequence[Layout], width: int | None
) -> list[str]:
    """A line of headings and a line for each row, in the first layout that fits into `width`.

    None: there is room for everything. Where nothing fits, the last layout is taken as it is.
    """
    widths = {
        column: max(len(heading), *(len(row[column].text) for row in rows), 0)
        for column, heading in headings.items()
    }
    layout = next((each for each in layouts if _fits(each, widths, width)), layouts[-1])
    top = {column: Cell(headings[column], FAINT) for column in layout}
    return [_line(row, layout, widths) for row in (top, *rows)]


def _fits(layout: Layout, widths: Mapping[str, int], width: int | None) -> bool:
    whole = sum(widths[column] for column in layout) + len(_GAP) * (len(layout) - 1)
    return width is None or whole <= width


def _line(row: Row, layout: Layout, widths: Mapping[str, int]) -> str:
    return _GAP.join(_cells(row, layout, widths)).rstrip()


def _cells(row: Row, layout: Layout, widths: Mapping[str, int]) -> Iterator[str]:
    for column in layout:
        cell = row[column]
        yield painted(cell.text, cell.colour) + " " * (widths[column] - len(cell.text))
