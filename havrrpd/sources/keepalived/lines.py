"""A keepalived.conf's text as the lines that keepalived's parser acts on: every macro expanded.

Follows keepalived.conf(5): comments, `@id` lines, `$NAME` definitions, `~SEQ` and `~LST`, includes.
A brace is always a line of its own. What cannot be expanded is kept as it is and counted.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from havrrpd.sources.keepalived.repetitions import Repetition, read_list, read_sequence

Include = Callable[[str], Sequence[tuple[str, str]]]
"""The files that an absolute glob pattern (with csh braces) names, in order: (path, text) each."""

MAX_STEPS = 100_000  # lines and replacements: half a second; two macros can ask for any number
_A_STEP = 64  # characters: a long line takes as many steps as the short ones it could be
MAX_LINE = 4 * 1024  # keepalived itself reads 1024 at once
MAX_DEPTH = 64

_BLANK = " \t"
_DEFINITION = re.compile(r"\$([A-Za-z_]\w*)=[ \t]*(.*)", re.ASCII | re.DOTALL)
_REFERENCE = re.compile(
    r"\$(?:\{([A-Za-z_]\w*)((?: +\d+)*)\}|([A-Za-z_]\w*)(?=[ \t,)]|\Z))", re.ASCII
)
_INCLUDE = re.compile(r"include[rmwba]?\s+(.*)", re.DOTALL)
_BRACE = re.compile(r'[{}"]')


@dataclass(slots=True)
class _Frame:
    """Where lines come from: a file, or the expansion of a macro (then without directories)."""

    lines: Iterator[str]
    directories: list[str] = field(default_factory=list)


class Lines:
    """Iterate once. Afterwards `skipped` counts what could not be expanded."""

    def __init__(
        self, text: str, *, path: str, config_id: str, include: Include, consolidated: bool
    ) -> None:
        self.skipped = 0
        self._config_id = config_id
        self._include = include
        self._consolidated = consolidated
        self._definitions: dict[str, list[str]] = {"_HASH": ["#"], "_BANG": ["!"]}
        self._continued: str | None = None  # the definition that the next lines belong to
        self._frames: list[_Frame] = []
        self._rest = ""  # of the line that a brace divided
        self._steps = 0
        self._push_file(path, text)

    def __iter__(self) -> Iterator[str]:
        while (line := self._next()) is not None:
            if self._continued is not None:
                self._continue_definition(self._continued, line)
                continue
            line = self._expand(line)
            if match := _INCLUDE.fullmatch(line):
                self._push_included(match[1].strip())
            elif line:
                head, rest = _split_at_brace(line)
                self._rest = rest
                if head:
                    yield head

    def _next(self) -> str | None:
        """The next line that is not empty, from the innermost source that has one."""
        if self._rest:
            rest, self._rest = self._rest, ""
            self._steps += 1
            return rest
        while self._frames:
            if self._steps >= MAX_STEPS:
                self.skipped += 1
                return None
            frame = self._frames[-1]
            line = next(frame.lines, None)
            if line is None:
                self._frames.pop()
                continue
            self._steps += 1 + len(line) // _A_STEP
            if frame.directories:
                line = self._clean(frame, line)
            if line:
                return line
        return None

    def _clean(self, frame: _Frame, line: str) -> str:
        if not line:
            self._continued = None
            return ""
        if len(line) > MAX_LINE:
            self.skipped += 1
            return ""
        if self._consolidated and line[0] in "#!":
            _follow_file(frame, line)
            return ""
        return strip_comment(line)

    def _push(self, lines: Iterable[str], directories: Sequence[str] = ()) -> None:
        if len(self._frames) >= MAX_DEPTH:
            self.skipped += 1
            return
        self._frames.append(_Frame(iter(lines), list(directories)))

    def _push_file(self, path: str, text: str) -> None:
        self._push(re.split(r"\r*\n", text), [posixpath.dirname(path) or "/"])

    def _push_included(self, pattern: str) -> None:
        path = posixpath.join(self._directory(), pattern)
        files = () if "\0" in path else self._include(path)
        if not files:
            self.skipped += 1
        for path, text in reversed(files):
            self._steps += len(text) // MAX_LINE
            self._push_file(path, text)

    def _directory(self) -> str:
        return next(frame.directories[-1] for frame in reversed(self._frames) if frame.directories)

    def _expand(self, line: str) -> str:
        """The line as keepalived acts on it; empty when it was a definition or is not for us."""
        for _ in range(MAX_DEPTH):
            if line.startswith("@"):
                line = self._strip_id(line)
            if match := _DEFINITION.fullmatch(line):
                self._define(match[1], match[2])
                return ""
            if line.startswith(("~SEQ", "~LST")):
                self._repeat(line)
                return ""
            replaced = self._replace(line) if "$" in line else line
            if replaced == line:
                return line
            line = strip_comment(replaced)
            if not line.startswith(("@", "~")) and "$" not in line:
                return line
        self.skipped += 1
        return line

    def _strip_id(self, line: str) -> str:
        """`@id rest` is rest where the id is ours, `@^id rest` where it is not."""
        negated = line.startswith("@^")
        name, _, rest = line[2 if negated else 1 :].replace("\t", " ").partition(" ")
        return (
            line[-len(rest) :].lstrip(_BLANK)
            if rest and (name == self._config_id) != negated
            else ""
        )

    def _define(self, name: str, value: str) -> None:
        if value.endswith("\\"):
            first = value[:-1].rstrip(_BLANK)
            self._definitions[name] = [first] if first else []
            self._continued = name
        else:
            self._definitions[name] = [value]

    def _continue_definition(self, name: str, line: str) -> None:
        if line.endswith("\\"):
            line = line[:-1].rstrip(_BLANK)
        else:
            self._continued = None
        if line:
            self._definitions[name].append(line)

    def _replace(self, line: str) -> str:
        position = 0
        while self._steps < MAX_STEPS and len(line) <= MAX_LINE:
            match = _REFERENCE.search(line, position)
            if match is None:
                return line
            body = self._look_up(match[1] or match[3], match[2])
            if body is None or (len(body) > 1 and match.end() != len(line)):
                position = match.start() + 1
                continue
            if len(body) > 1:
                self._push(islice(body, 1, None))
            first = body[0] if body else ""
            line = line[: match.start()] + first + line[match.end() :]
            position = match.start()
            self._steps += 1 + len(first) // _A_STEP
            if first.lstrip(_BLANK).startswith("~"):
                return line
        self.skipped += 1
        return line.replace("$", "")

    def _look_up(self, name: str, parameters: str | None) -> list[str] | None:
        """The lines of a definition, [] for an empty one, None for one that does not exist."""
        if parameters and name != "_RANDOM":
            return None
        if name in self._definitions:
            return self._definitions[name]
        match name:
            case "_PWD":
                return [self._directory()]
            case "_INSTANCE":
                return [self._config_id]
            case "_RANDOM":  # each process of keepalived rolls its own: not to be known
                self.skipped += 1
                return [(parameters or " 0").split()[0]]
        return None

    def _repeat(self, line: str) -> None:
        if line.startswith("~SEQ"):
            repetition = read_sequence(line, self._replace)
        else:
            repetition = read_list(line)
        if repetition is None:
            self.skipped += 1
        else:
            self._push(self._with_each(repetition))

    def _with_each(self, repetition: Repetition) -> Iterator[str]:
        for row in repetition.rows:
            for name, value in zip(repetition.names, row, strict=True):
                self._definitions[name] = [value]
            yield repetition.text


def strip_comment(line: str) -> str:
    """Without comment and surrounding blanks; `\\#` and `\\!` outside of double quotes are literal.

    A backslash at the very end continues a definition and is kept, even behind a comment.
    """
    line = line.strip(_BLANK)
    if not any(character in line for character in '!#"\\'):
        return line
    kept: list[str] = []
    quoted = commented = False
    position = 0
    while position < len(line):
        character = line[position]
        if character == "\\":
            pair = line[position : position + 2]
            if len(pair) == 1:
                return "".join(kept).rstrip(_BLANK) + "\\"
            position += 2
            if not commented:
                kept.append(pair[1] if not quoted and pair[1] in "#!" else pair)
            continue
        position += 1
        if character == '"' and not commented:
            quoted = not quoted
        if character in "#!" and not quoted:
            commented = True
        if not commented:
            kept.append(character)
    return "".join(kept).rstrip(_BLANK)


def _follow_file(frame: _Frame, line: str) -> None:
    """keepalived's own copy marks where an included file begins (`# path`) and ends (`!`)."""
    if line.startswith("!"):
        if len(frame.directories) > 1:
            frame.directories.pop()
    elif not line.startswith("#!"):
        directory = posixpath.dirname(line[2:])
        frame.directories.append(posixpath.join(frame.directories[-1], directory))


def _split_at_brace(line: str) -> tuple[str, str]:
    """A brace alone, or the text before the first brace outside of quotes; and what follows."""
    if line[0] in "{}":
        return line[0], line[1:].strip(_BLANK)
    position = 0
    while match := _BRACE.search(line, position):
        if match[0] != '"':
            return line[: match.start()].rstrip(_BLANK), line[match.start() :]
        position = line.find('"', match.end()) + 1
        if position == 0:
            break
    return line, ""
