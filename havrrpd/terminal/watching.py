"""Watching a node: asking its daemon again and again, and showing what it says.

On a terminal the screen shows the present state; elsewhere what changed is printed. A daemon that
does not answer is waited for, and what it said before is not shown as if it still held.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from textwrap import wrap
from types import FrameType
from typing import Any, NamedTuple

import click

from havrrpd.client import NoAnswerError
from havrrpd.terminal.colours import FAINT, RED, is_screen, painted, wanted
from havrrpd.terminal.keyboard import END, keyboard
from havrrpd.terminal.table import facts, summary, table, worst_first

Json = dict[str, Any]

SOONEST = 0.25  # seconds between two questions
SHARE = 10  # times as long as an answer took: watching keeps the daemon busy for a tenth at most
AFTER_SILENCE = 1.0
PATIENCE = 2.0  # seconds until a daemon that hangs counts as silent


class Answer(NamedTuple):
    """What the daemon said: a node, or one router of it; `whole` as it was said."""

    head: str
    routers: Sequence[Json]
    unprotected: Sequence[Json]
    whole: Json

    @classmethod
    def of_node(cls, status: Json) -> Answer:
        return cls(summary(status), status["routers"], status["unprotected"], status)

    @classmethod
    def of_router(cls, router: Json) -> Answer:
        return cls(router["router"], [router], [], router)


class Seen(NamedTuple):
    """What the daemon said last, and since when it says nothing."""

    answer: Answer | None = None
    answered_at: datetime | None = None
    silence: str = ""
    silent_since: datetime | None = None

    def after(self, answer: Answer | NoAnswerError, now: datetime) -> Seen:
        if isinstance(answer, NoAnswerError):
            return self._replace(silence=str(answer), silent_since=self.silent_since or now)
        return Seen(answer, now)


Ask = Callable[[], Answer]  # raises NoAnswerError


def screen(seen: Seen, now: datetime, width: int, height: int) -> list[str]:
    """The lines of the screen, trouble first, at most `height` of them."""
    lines = list(_screen(seen, now, width))
    if len(lines) <= height:
        return lines
    left = len(lines) - height + 1
    return [*lines[: height - 1], painted(f"and {left} more, no room for them here", FAINT)]


def news(before: Seen, seen: Seen, now: datetime) -> Iterator[str]:
    """The lines that tell what changed, with the rows of the routers that did."""
    if seen.answer is None:
        return
    routers = () if before.answer is None else before.answer.routers
    old = {router["router"]: facts(router) for router in routers}
    changed = [r for r in seen.answer.routers if old.get(r["router"]) != facts(r)]
    gone = sorted(old.keys() - {r["router"] for r in seen.answer.routers})
    unprotected = seen.answer.unprotected if _differ(before, seen, "unprotected") else ()
    if not (changed or gone or unprotected or _differ(before, seen, "head")):
        return
    yield f"{_clock(now)}  {seen.answer.head}"
    yield from (f"{router}: gone" for router in gone)
    if changed or unprotected:
        yield from table(changed, now, unprotected)
    yield ""


def watch(ask: Ask, *, as_json: bool) -> None:
    """Until q or Ctrl-C. Raises RefusedError; NoAnswerError where no waiting mends it."""
    with _until_told_to_stop():
        if as_json or not is_screen(sys.stdout):
            _print(ask, as_json=as_json)
        else:
            _show(ask)


def _show(ask: Ask) -> None:
    """On the screen of a terminal, which is as before afterwards."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(highlight=False, force_terminal=True)
    seen, drawn = Seen(), None
    live = Live(console=console, screen=True, auto_refresh=False)
    with keyboard() as pressed, live:
        while True:
            seen, pause = _asked(ask, seen)
            size = console.size
            lines = screen(seen, datetime.now(UTC), size.width, size.height)
            if (lines, size) != drawn:
                text = Text("\n", no_wrap=True, overflow="ellipsis")
                live.update(text.join(map(Text.from_ansi, lines)), refresh=True)
                drawn = (lines, size)
            if pressed(pause) in ("q", END):
                return


def _print(ask: Ask, *, as_json: bool) -> None:
    """The whole table once, then what changed; as JSON a whole answer on a line each time."""
    seen, colour = Seen(), wanted(sys.stdout)
    while True:
        before = seen
        seen, pause = _asked(ask, before)
        now = datetime.now(UTC)
        if said := _about_silence(before, seen, now):
            click.echo(said, err=as_json)
        told = list(news(before, seen, now))
        if told and as_json and seen.answer is not None:
            click.echo(json.dumps(seen.answer.whole, ensure_ascii=False))
        elif told:
            click.echo("\n".join(told), color=colour)
        time.sleep(pause)


def _asked(ask: Ask, seen: Seen) -> tuple[Seen, float]:
    """What is seen now, and how long to wait until the next question."""
    asked_at, began = datetime.now(UTC), time.monotonic()
    try:
        answer = ask()
    except NoAnswerError as silence:
        if isinstance(silence.__cause__, PermissionError):
            raise  # waiting mends nothing
        return seen.after(silence, asked_at), AFTER_SILENCE
    pause = max(SOONEST, SHARE * (time.monotonic() - began))
    return seen.after(answer, datetime.now(UTC)), pause


def _screen(seen: Seen, now: datetime, width: int) -> Iterator[str]:
    answer = seen.answer
    if seen.silent_since is not None:
        yield f"{_clock(now)}  {painted(_since(seen, now), RED)}"
        yield from (painted(line, RED) for line in wrap(seen.silence, width))
        if answer is None or seen.answered_at is None:
            return
        yield f"What it said last, at {_clock(seen.answered_at)}: {answer.head}"
    elif answer is not None:
        yield f"{_clock(now)}  {answer.head}"
    if answer is None:
        return
    yield ""
    for line in table(worst_first(answer.routers), now, answer.unprotected, width):
        yield painted(click.unstyle(line), FAINT) if seen.silent_since else line


def _about_silence(before: Seen, seen: Seen, now: datetime) -> str:
    if seen.silent_since and not before.silent_since:
        return f"{_clock(now)}  {seen.silence}"
    if before.silent_since and not seen.silent_since:
        return f"{_clock(now)}  the daemon answers again, after {_seconds(before, now)} s"
    return ""


def _since(seen: Seen, now: datetime) -> str:
    assert seen.silent_since is not None
    return f"no answer since {_clock(seen.silent_since)} ({_seconds(seen, now)} s)"


def _seconds(seen: Seen, now: datetime) -> int:
    return 0 if seen.silent_since is None else int((now - seen.silent_since).total_seconds())


def _differ(before: Seen, seen: Seen, name: str) -> bool:
    return getattr(before.answer, name, None) != getattr(seen.answer, name, None)


def _clock(moment: datetime) -> str:
    """The time of day where the reader is."""
    return moment.astimezone().strftime("%H:%M:%S")


@contextmanager
def _until_told_to_stop() -> Iterator[None]:
    """Ctrl-C is a good end. SIGTERM and SIGHUP end it too, with the terminal put right."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    try:
        yield
    except KeyboardInterrupt:
        return


def _stop(number: int, _frame: FrameType | None) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, (number,))  # timeout(1) sends it twice
    sys.exit(128 + number)
