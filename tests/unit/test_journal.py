"""The history on disk: over restarts, crashes and what else can be wrong with a file."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from havrrpd import journal as module
from havrrpd.core.history import History, Kept
from havrrpd.journal import FORMAT, NAME, Journal
from tests.answering import eventually
from tests.unit.test_history import promoted


def read(directory: Path) -> History:
    history = History()
    Journal(directory, history).read()
    return history


def lines(directory: Path) -> list[bytes]:
    return (directory / NAME).read_bytes().splitlines()


def write(directory: Path, content: bytes) -> None:
    (directory / NAME).write_bytes(content)


@asynccontextmanager
async def running(directory: Path, history: History) -> AsyncIterator[Journal]:
    journal = Journal(directory, history)
    journal.read()
    task = asyncio.create_task(journal.run())
    await asyncio.sleep(0)
    try:
        yield journal
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def written(directory: Path, count: int) -> list[Kept]:
    """So many transitions, on disk after what is there."""
    history = History()
    async with running(directory, history) as journal:
        for _ in range(count):
            journal.add(promoted(history))
    return list(history)


async def test_what_was_written_is_read_at_start_and_ids_go_on(tmp_path: Path) -> None:
    first = await written(tmp_path / "state", 3)
    both = await written(tmp_path / "state", 2)
    assert both[:3] == first
    assert [kept.id for kept in read(tmp_path / "state")] == [1, 2, 3, 4, 5]
    assert lines(tmp_path / "state")[0] == FORMAT


async def test_it_is_on_disk_soon_and_not_only_at_the_end(tmp_path: Path) -> None:
    history = History()
    async with running(tmp_path, history) as journal:
        for count in (1, 2):
            journal.add(promoted(history))
            await eventually(lambda: len(read(tmp_path)) == len(history))
            assert len(history) == count


async def test_one_who_stops_while_the_disk_is_slow_writes_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = threading.Event()

    def slow(_descriptor: int) -> None:
        begun.set()
        time.sleep(0.2)  # the disk itself

    monkeypatch.setattr(os, "fdatasync", slow)
    history = History()
    async with running(tmp_path, history) as journal:
        journal.add(promoted(history))
        await eventually(begun.is_set)
        journal.add(promoted(history))
    assert lines(tmp_path)[1:] == [kept.document for kept in history]


async def test_a_line_cut_off_by_a_crash_is_lost_and_no_other(tmp_path: Path) -> None:
    await written(tmp_path, 2)
    whole = (tmp_path / NAME).read_bytes()
    for cut in range(0, len(whole), 7):
        write(tmp_path, whole[:cut])
        after = await written(tmp_path, 1)
        assert read(tmp_path).last_id == after[-1].id
        assert len(after) == 1 + max(0, whole[:cut].count(b"\n") - 1)


async def test_broken_lines_are_passed_over_and_said_once(tmp_path: Path) -> None:
    await written(tmp_path, 2)
    name, first, second = lines(tmp_path)
    write(tmp_path, b"\n".join([name, b"\0\0\0", first, b'{"id":3}', first, second, b""]))
    with capture_logs() as logs:
        assert [kept.id for kept in read(tmp_path)] == [1, 2]
    assert [(log["event"], log["lines"]) for log in logs] == [("history.broken_lines", 3)]


async def test_another_format_is_set_aside(tmp_path: Path) -> None:
    write(tmp_path, b'{"havrrpd_history":2}\nsomething\n')
    assert len(await written(tmp_path, 1)) == 1
    assert (tmp_path / "history.other").read_bytes() == b'{"havrrpd_history":2}\nsomething\n'
    assert len(read(tmp_path)) == 1


async def test_a_file_that_grew_is_written_anew_with_what_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PER_NODE", 10)
    history = History(per_node=5)
    async with running(tmp_path, history) as journal:
        for _ in range(2):
            for _ in range(8):
                journal.add(promoted(history))
            await eventually(lambda: read(tmp_path).last_id == history.last_id)
        await eventually(lambda: len(lines(tmp_path)) == 6)
    assert [kept.id for kept in read(tmp_path)] == [12, 13, 14, 15, 16]
    assert os.listdir(tmp_path) == [NAME]


async def test_what_can_not_be_written_waits_and_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY", 0.0)
    in_the_way = tmp_path / "state"
    in_the_way.write_text("no directory")
    history = History()
    with capture_logs() as logs:
        async with running(in_the_way, history) as journal:
            journal.add(promoted(history))
            await eventually(lambda: len(logs) == 2)
            journal.add(promoted(history))
            in_the_way.unlink()
            await eventually(lambda: len(logs) == 3)
    assert [log["event"] for log in logs] == [
        "history.not_read",
        "history.not_written",
        "history.written_again",
    ]
    assert len(read(in_the_way)) == 2
