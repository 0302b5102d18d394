"""`havrrpd status --watch`, on a real terminal and without one, and what it shows when."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import termios
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from msgspec.structs import replace

from havrrpd.client import NoAnswerError
from havrrpd.core.model import Problem
from havrrpd.terminal.watching import Answer, Seen, news, screen
from tests.unit.test_cli import BACKUP, NODE, ROUTER, Daemon, answering, status

NOW = datetime.fromtimestamp(1_700_000_000, UTC)
SILENCE = NoAnswerError("/s", "connection refused")
TEN_SECONDS = timedelta(seconds=10)

ALTERNATE, NORMAL = "\x1b[?1049h", "\x1b[?1049l"
HOME = str(Path(__file__).parents[2])


def node(**routers: Any) -> Answer:
    return Answer.of_node(status(replace(NODE, routers=routers)))


def lines(seen: Seen, height: int = 24, width: int = 200) -> list[str]:
    return [click.unstyle(line) for line in screen(seen, NOW + TEN_SECONDS, width, height)]


# --- what is shown ---


def test_the_screen_shows_the_node_and_trouble_first() -> None:
    troubled = replace(ROUTER, id="z", problems=frozenset({Problem.LEVER_MISSING}))
    head, gap, headings, first, second = lines(Seen().after(node(a=ROUTER, z=troubled), NOW))
    assert head.endswith("  network1: routers: 2 MASTER; 1 problem")
    assert gap == ""
    assert headings.startswith("ROUTER")
    assert (first[0], second[0]) == ("z", "a")


def test_what_a_silent_daemon_said_is_not_shown_as_if_it_held() -> None:
    answered = Seen().after(node(a=ROUTER), NOW)
    silent = answered.after(SILENCE, NOW).after(SILENCE, NOW + TEN_SECONDS)
    head, first, second, last, *rest = screen(silent, NOW + TEN_SECONDS, 80, 24)
    assert "no answer since " in head
    assert " (10 s)" in head
    assert click.unstyle(f"{first} {second}") == str(SILENCE)
    assert last.startswith("What it said last, at ")
    assert "MASTER" in rest[2]
    assert all(line in ("", click.style(click.unstyle(line), dim=True)) for line in rest)


def test_before_the_first_answer_only_the_silence_is_shown() -> None:
    assert lines(Seen().after(SILENCE, NOW))[1:] == [str(SILENCE)]


def test_what_finds_no_room_is_counted() -> None:
    many = node(**{f"r{n:02}": replace(ROUTER, id=f"r{n:02}") for n in range(30)})
    shown = lines(Seen().after(many, NOW), height=10)
    assert len(shown) == 10
    assert shown[-1] == "and 24 more, no room for them here"


def test_the_first_news_are_the_whole_table_and_then_only_what_changed() -> None:
    one, two = replace(ROUTER, id="one"), replace(ROUTER, id="two")
    first = Seen().after(node(one=one, two=two), NOW)
    assert len(list(news(Seen(), first, NOW))) == 5
    same = first.after(node(one=one, two=two), NOW + TEN_SECONDS)
    assert list(news(first, same, NOW)) == []
    moved = same.after(node(one=one, two=replace(two, instances=(BACKUP,))), NOW)
    head, _, row, end = news(same, moved, NOW)
    assert head.endswith("network1: routers: 1 MASTER, 1 BACKUP; 0 problems")
    assert row.startswith("two")
    assert end == ""


def test_a_router_that_went_is_news() -> None:
    before = Seen().after(node(one=replace(ROUTER, id="one"), two=replace(ROUTER, id="two")), NOW)
    after = before.after(node(two=replace(ROUTER, id="two")), NOW)
    assert list(news(before, after, NOW))[1:] == ["one: gone", ""]


# --- on a terminal ---


class Terminal:
    """A real one, of 100 columns and 12 lines: what was written to it, and its settings."""

    def __init__(self) -> None:
        self.ours, self.theirs = os.openpty()
        termios.tcsetwinsize(self.theirs, (12, 100))
        self.written = b""
        self._more = asyncio.Event()

    def _read(self) -> None:
        self.written += os.read(self.ours, 65536)
        self._more.set()

    async def shows(self, text: str) -> None:
        """Waits until it was written, and forgets all up to there."""
        async with asyncio.timeout(10):
            while text.encode() not in self.written:
                self._more.clear()
                await self._more.wait()
        self.written = self.written.partition(text.encode())[2]

    def press(self, key: str) -> None:
        os.write(self.ours, key.encode())

    @asynccontextmanager
    async def running(self, *arguments: str, path: Path, **more: str) -> AsyncIterator[Process]:
        loop = asyncio.get_running_loop()
        loop.add_reader(self.ours, self._read)
        process = await asyncio.create_subprocess_exec(
            *("setsid", "--ctty", sys.executable, "-m", "havrrpd", *arguments),
            env=environment(path, TERM="xterm-256color", **more),
            stdin=self.theirs,
            stdout=self.theirs,
            stderr=self.theirs,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            loop.remove_reader(self.ours)
            os.close(self.ours)
            os.close(self.theirs)


def environment(path: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR",)}
    return {**kept, "PYTHONPATH": HOME, "HAVRRPD_SOCKET": str(path), **more}


@pytest.fixture(autouse=True)
def ctrl_c_is_heard() -> Iterator[None]:
    """A shell has its background jobs, as `make test &`, ignore it: so would what they start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "havrrpd.sock"


async def test_the_screen_follows_the_daemon_through_its_silence_until_ctrl_c(path: Path) -> None:
    daemon, terminal = Daemon(), Terminal()
    before = termios.tcgetattr(terminal.theirs)
    async with terminal.running("status", "--watch", path=path) as process:
        await terminal.shows("the daemon does not answer")
        async with answering(path, daemon):
            await terminal.shows("1 MASTER")
            await terminal.shows("\x1b[32mMASTER")
            daemon.node = replace(NODE, routers={"a": replace(ROUTER, instances=(BACKUP,))})
            await terminal.shows("1 BACKUP")
        await terminal.shows("the daemon does not answer")
        async with answering(path, daemon):
            await terminal.shows("1 BACKUP")
            terminal.press("\x03")
            assert await asyncio.wait_for(process.wait(), 10) == 0
        await terminal.shows(NORMAL)
        assert termios.tcgetattr(terminal.theirs) == before


@pytest.mark.parametrize(("end", "code"), [("q", 0), (signal.SIGTERM, 143)])
async def test_however_it_ends_the_terminal_is_as_before(
    path: Path, end: str | signal.Signals, code: int
) -> None:
    terminal = Terminal()
    before = termios.tcgetattr(terminal.theirs)
    async with (
        answering(path, Daemon()),
        terminal.running("status", "a", "--watch", path=path, NO_COLOR="1") as process,
    ):
        await terminal.shows(ALTERNATE)
        await terminal.shows("MASTER")
        assert b"\x1b[32m" not in terminal.written
        assert termios.tcgetattr(terminal.theirs) != before
        if isinstance(end, str):
            terminal.press(end)
        else:
            process.send_signal(end)
        assert await asyncio.wait_for(process.wait(), 10) == code
        await terminal.shows(NORMAL)
        assert termios.tcgetattr(terminal.theirs) == before


async def test_one_answer_fits_the_terminal_that_it_is_printed_on(path: Path) -> None:
    terminal = Terminal()
    long = replace(ROUTER, id="3f2a9c10-8a51-4c1e-9d0e-000000000001")
    async with (
        answering(path, Daemon(replace(NODE, routers={long.id: long}))),
        terminal.running("status", path=path) as process,
    ):
        assert await asyncio.wait_for(process.wait(), 10) == 0
        await terminal.shows("\x1b[2mROUTER\x1b[0m    \x1b[2mINTERFACE")
        await terminal.shows("3f2a9c10  ")
        await terminal.shows("\x1b[32mMASTER")


# --- without a terminal ---


@asynccontextmanager
async def watching(path: Path, *arguments: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "havrrpd", "status", "--watch", *arguments),
        env=environment(path),
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def line(stream: asyncio.StreamReader | None) -> str:
    assert stream is not None
    return (await asyncio.wait_for(stream.readline(), 10)).decode().rstrip("\n")


async def test_into_a_pipe_it_prints_what_changes_and_when_the_daemon_is_silent(path: Path) -> None:
    daemon = Daemon()
    async with watching(path) as process:
        assert "the daemon does not answer on" in await line(process.stdout)
        async with answering(path, daemon):
            assert "the daemon answers again" in await line(process.stdout)
            told = [await line(process.stdout) for _ in range(4)]
            assert told[0].endswith("network1: routers: 1 MASTER; 0 problems")
            assert told[1].startswith("ROUTER  INSTANCE")
            assert told[2].split()[4] == "MASTER"
            assert told[3] == ""
            daemon.node = replace(NODE, routers={"a": replace(ROUTER, instances=(BACKUP,))})
            assert (await line(process.stdout)).endswith("1 BACKUP; 0 problems")
            process.send_signal(signal.SIGINT)
            assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_told_to_stop_again_and_again_it_ends_without_a_word(path: Path) -> None:
    async with answering(path, Daemon()), watching(path) as process:
        await line(process.stdout)
        while process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGTERM)
            await asyncio.sleep(0)
        assert process.returncode == 128 + signal.SIGTERM
        assert process.stderr is not None
        assert await process.stderr.read() == b""


async def test_as_json_each_change_is_a_whole_answer_on_a_line(path: Path) -> None:
    daemon = Daemon()
    async with watching(path, "-o", "json") as process:
        assert "the daemon does not answer on" in await line(process.stderr)
        async with answering(path, daemon):
            assert json.loads(await line(process.stdout)) == status(NODE)
            daemon.node = replace(NODE, draining=True)
            assert json.loads(await line(process.stdout)) == status(daemon.node)


async def test_an_unknown_router_is_not_watched(path: Path) -> None:
    async with answering(path, Daemon()), watching(path, "b") as process:
        assert await asyncio.wait_for(process.wait(), 10) == 1
        assert (await line(process.stderr)).startswith("havrrpd: no router b on this node")
