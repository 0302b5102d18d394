"""The history on disk: read at start, appended to beside the loop, and no matter when it can't be.

`history.jsonl` in state_dir has a line that names the format, and one for each transition. A line
that is broken, as the last one after a crash, is passed over. Once the file holds PER_NODE lines
more than are kept, it is written anew. When the disk is full, transitions wait in memory for room.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock

import structlog

from havrrpd.core.history import PER_NODE, History, Kept
from havrrpd.views.history import recalled

NAME = "history.jsonl"
FORMAT = b'{"havrrpd_history":1}'
MODE = 0o640
BETWEEN = 0.1  # seconds between two writes: what a crash of havrrpd can lose
RETRY = 5.0  # seconds after a write that failed

log = structlog.get_logger()


class Journal:
    """Of one history. One daemon at a time writes a file."""

    def __init__(self, state_dir: Path, history: History) -> None:
        self._path = state_dir / NAME
        self._history = history
        self._waiting: deque[Kept] = deque(maxlen=PER_NODE)
        self._woken = asyncio.Event()
        self._file = Lock()  # held by the thread that is at the file
        self._written = 0  # the last id in the file
        self._lines = 0  # in the file
        self._most_lines = PER_NODE  # beyond what is kept
        self._fails = False

    def read(self) -> None:
        """What was written before, into the history. It goes on without, if it can't be had."""
        try:
            content = self._path.read_bytes()
            whole = content[: content.rfind(b"\n") + 1]
            first, *lines = whole.splitlines() or [FORMAT]
            if first != FORMAT:
                self._set_aside(first)
                return
            if whole != content:  # a crash cut the last line off: the next one begins a line
                os.truncate(self._path, len(whole))
        except FileNotFoundError:
            return
        except OSError as error:
            log.error("history.not_read", path=str(self._path), error=error.strerror)
            return
        broken = sum(not self._recall(line) for line in lines)
        self._lines, self._written = len(lines), self._history.last_id
        if broken:
            log.warning("history.broken_lines", path=str(self._path), lines=broken)

    def add(self, kept: Kept) -> None:
        """To be written soon."""
        self._waiting.append(kept)
        self._woken.set()

    async def run(self) -> None:
        """Writes what was added; what is left when it is cancelled too."""
        try:
            while True:
                await self._woken.wait()
                self._woken.clear()
                await self._write_all()
                await asyncio.sleep(RETRY if self._fails else BETWEEN)
        finally:
            self._append(list(self._waiting))  # on this thread: the loop is about to end

    async def _write_all(self) -> None:
        await asyncio.to_thread(self._append, list(self._waiting))
        while self._waiting and self._waiting[0].id <= self._written:
            self._waiting.popleft()
        if self._waiting:
            self._woken.set()
        elif self._lines > len(self._history) + self._most_lines:
            await asyncio.to_thread(self._rewrite, list(self._history))

    def _recall(self, line: bytes) -> bool:
        """Into the history; False when it is no transition, or no newer one."""
        try:
            self._history.add(recalled(line))
        except ValueError:
            return False
        return True

    def _set_aside(self, first: bytes) -> None:
        aside = self._path.with_suffix(".other")
        self._path.rename(aside)
        log.warning("history.other_format", begins=repr(first[:80]), moved_to=str(aside))

    # --- on a thread ---

    def _append(self, kept: Sequence[Kept]) -> None:
        """Those that are not there: all or, as far as the disk lets us, none."""
        with self._file:
            documents = [each.document for each in kept if each.id > self._written]
            if not documents:
                return
            try:
                self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
                _append(self._path, documents)
            except OSError as error:
                self._failed(error)
                return
            self._lines += len(documents)
            self._written = kept[-1].id
            self._worked()

    def _rewrite(self, kept: Sequence[Kept]) -> None:
        """The file anew, with what is kept and was written before."""
        with self._file:
            documents = [each.document for each in kept if each.id <= self._written]
            fresh = self._path.with_suffix(".new")
            try:
                with _opened(fresh, os.O_TRUNC) as descriptor:
                    _write(descriptor, [FORMAT, *documents])
                fresh.replace(self._path)
            except OSError as error:
                with suppress(OSError):
                    fresh.unlink(missing_ok=True)
                self._most_lines += PER_NODE  # until then appending will do
                log.error("history.not_rewritten", path=str(self._path), error=error.strerror)
                return
            self._lines, self._most_lines = len(documents), PER_NODE

    def _failed(self, error: OSError) -> None:
        """Said once, until it works again."""
        if not self._fails:
            log.error("history.not_written", path=str(self._path), error=error.strerror)
        self._fails = True

    def _worked(self) -> None:
        if self._fails:
            log.info("history.written_again", path=str(self._path))
        self._fails = False


def _append(path: Path, documents: Sequence[bytes]) -> None:
    with _opened(path, os.O_APPEND) as descriptor:
        size = os.fstat(descriptor).st_size
        try:
            _write(descriptor, documents if size else [FORMAT, *documents])
        except OSError:
            with suppress(OSError):
                os.ftruncate(descriptor, size)
            raise


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | flags, MODE)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _write(descriptor: int, lines: Sequence[bytes]) -> None:
    """To the disk itself."""
    content = memoryview(b"\n".join([*lines, b""]))
    while content:
        content = content[os.write(descriptor, content) :]
    os.fdatasync(descriptor)
