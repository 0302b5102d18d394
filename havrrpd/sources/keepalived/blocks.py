"""keepalived's lines as a tree: statements of words, each with the statements of its block."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

_WORD = re.compile(r'"([^"]*)"|([^\s"]+)')


@dataclass(frozen=True, slots=True)
class Statement:
    """One line and the block behind it, if any. The words are without their quotes."""

    words: tuple[str, ...]
    block: list[Statement] = field(default_factory=list)

    @property
    def keyword(self) -> str:
        return self.words[0]

    @property
    def value(self) -> str | None:
        """The first word behind the keyword."""
        return self.words[1] if len(self.words) > 1 else None


@dataclass(slots=True)
class Tolerant:
    """Whoever takes statements one by one, and counts those that say nothing it can take."""

    skipped: int = field(default=0, kw_only=True)

    def attempt(self, take: Callable[[Statement], None], statement: Statement) -> None:
        """`take` raises ValueError for what it can't take."""
        if not statement.words:
            self.skipped += 1
            return
        try:
            take(statement)
        except ValueError:
            self.skipped += 1


def read_blocks(lines: Iterable[str]) -> tuple[list[Statement], int]:
    """The statements of the top level, and how many braces and lines belonged to nothing.

    A NUL can be in no name or path: a line with one is left out, with its block.
    """
    top: list[Statement] = []
    path = [top]
    strays = 0
    last: Statement | None = None  # the statement that a brace would belong to
    for line in lines:
        if line == "{":
            if last is None:
                strays += 1
                last = Statement(())
            path.append(last.block)
            last = None
        elif line == "}":
            last = None
            if len(path) == 1:
                strays += 1
            else:
                path.pop()
        elif "\0" in line:
            strays += 1
            last = Statement(())
        elif words := split_words(line):
            last = Statement(words)
            path[-1].append(last)
    return top, strays


def split_words(line: str) -> tuple[str, ...]:
    """Words are divided by white space; double quotes keep it, and are removed."""
    if '"' not in line:
        return tuple(line.split())
    return tuple(match[1] if match[1] is not None else match[2] for match in _WORD.finditer(line))
