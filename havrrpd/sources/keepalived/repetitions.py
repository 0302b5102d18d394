"""`~SEQ(...)` and `~LST(...)`: a line said again with other values. keepalived.conf(5)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

_BLANK = " \t"
_SEQUENCE = re.compile(r"~SEQ(x?)[ \t]*\([ \t]*([^ \t,)]+)[ \t]*,([^)]*)\)[ \t]*(.*)", re.DOTALL)
_LIST = re.compile(r"~LST[ \t]*\([ \t]*(\{[^{}()]*\}|[^ \t,{}()]+)[ \t]*,(.*)", re.DOTALL)
_LIST_VALUE = re.compile(r"[ \t]*(?:\{([^{}()]*)\}|([^,{}()]*?))[ \t]*([,)])", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Repetition:
    """`text` once for each row: a value for each name."""

    names: Sequence[str]
    rows: Iterable[Sequence[str]]
    text: str


def read_sequence(line: str, replace: Callable[[str], str]) -> Repetition | None:
    """`~SEQ(name, start, step, end) text`, hexadecimal with ~SEQx; None if it is not well-formed.

    `replace` puts the definitions into the numbers.
    """
    match = _SEQUENCE.fullmatch(line)
    if match is None:
        return None
    hexadecimal, name, arguments, text = match.groups()
    numbers = _range(replace(arguments))
    if numbers is None or (hexadecimal and (numbers[0] < 0 or numbers[-1] < 0)):
        return None
    style = "x" if hexadecimal else "d"
    return Repetition((name,), ((format(number, style),) for number in numbers), text)


def read_list(line: str) -> Repetition | None:
    """`~LST(name, value, ...) text` or `~LST({name, ...}, {value, ...}, ...) text`."""
    match = _LIST.fullmatch(line)
    if match is None:
        return None
    names = [name.strip(_BLANK) for name in match[1].strip("{}").split(",")]
    rest = match[2]
    rows: list[Sequence[str]] = []
    position = 0
    while value := _LIST_VALUE.match(rest, position):
        row = [part.strip(_BLANK) for part in (value[1] or value[2] or "").split(",")]
        if len(row) > len(names):
            return None
        rows.append(row + [""] * (len(names) - len(row)))
        position = value.end()
        if value[3] == ")":
            return Repetition(names, rows, rest[position:].strip(_BLANK))
    return None


def _range(text: str) -> range | None:
    """The numbers of `end`, `start, end` or `start, step, end`, as ~SEQ defines their defaults."""
    try:
        numbers = [_number(part) for part in text.split(",")]
    except ValueError:
        return None
    match numbers:
        case [end]:
            start, step = (-1 if end < 0 else 1), (-1 if end < 1 else 1)
        case [start, end]:
            step = 1 if start <= end else -1
        case [start, step, end]:
            pass
        case _:
            return None
    if step == 0 or (end - start) * step < 0:
        return None
    return range(start, end + (1 if step > 0 else -1), step)


def _number(text: str) -> int:
    """As strtol with base 0: 0x10 is hexadecimal, 010 octal."""
    text = text.strip(_BLANK)
    if len(text) > 20:
        raise ValueError(text)
    return int(text, 8 if re.fullmatch(r"[-+]?0[0-7]+", text) else 0)
