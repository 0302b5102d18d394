"""keepalived's notify FIFOs as events: a hint of every change, never the truth.

keepalived unlinks and remakes a FIFO of its own making on every reload, and a reader of the old one
hears nothing for ever; one made before it started stays. So the FIFO that counts is the one that
the keepalived process holds open, and what is on the disk is compared with it once a second, where
its directory has changed: a thousand FIFOs would be 2 % of a core.
Where lines may have been lost, NotifyWatched(False) and then (True) say to forget what was heard.
"""

from __future__ import annotations

import asyncio
import os
import select
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from havrrpd.core.messages import Event, NotifyWatched, StateNotified
from havrrpd.sources.notify.decode import Line, LineBuffer, decode, latest
from havrrpd.sources.notify.directories import Directories, DirectoryId
from havrrpd.sources.notify.fifo import FifoId, capacity, fifo_id, holds, open_fifo

Emit = Callable[[str, Event], None]

TICK = 1.0  # seconds: the longest that a remade FIFO can matter
MAX_BACKOFF = 8.0  # seconds between two tries to open what can't be opened
SLICE = 50  # FIFOs read or looked at, 15 us each, before others on the loop have their turn
LOG_INTERVAL = 60.0  # seconds between two log lines about a FIFO's garbage
CHUNK = 65536  # bytes, a pipe's capacity
PAGE = 4096  # bytes that can be left over in a pipe that refuses a line


@dataclass(slots=True)
class _Watched:
    """A router's FIFO, open or waiting to be."""

    router: str
    path: Path  # as keepalived knows it
    file: Path  # the same in keepalived's mount namespace
    pid: int | None
    fd: int | None = None
    id: FifoId | None = None
    directory: DirectoryId | None = None
    held: bool = False  # keepalived itself has this very FIFO open
    in_place: bool = False  # and it is the one that lies at the path
    fresh: bool = True  # not read yet since it was opened
    buffer: LineBuffer = field(default_factory=LineBuffer)
    reported: bool | None = None
    fault: str | None = None  # the reason logged last
    backoff: float = TICK / 2
    due: float = 0.0
    garbage_logged: float = float("-inf")

    @property
    def settled(self) -> bool:
        """Nothing changes as long as its directory does not."""
        return self.held and self.in_place and self.reported is True


class Notify:
    """Reads the FIFOs of all routers, in one task."""

    def __init__(self, emit: Emit) -> None:
        self.lines: Counter[str] = Counter({line.value: 0 for line in Line})
        self.progressed_at = time.monotonic()
        self._emit = emit
        self._routers: dict[str, _Watched] = {}
        self._fifos: dict[FifoId, list[_Watched]] = {}
        self._directories = Directories()
        self._epoll = select.epoll()
        self._open_fds: dict[int, _Watched] = {}
        self._unsettled: set[str] = set()  # to be looked at at once
        self._wake = asyncio.Event()
        self._log = structlog.get_logger("notify")

    def watch(self, router: str, path: Path, root: Path, pid: int | None = None) -> None:
        """Follow the FIFO `path` of the loaded configuration, as seen in `root` (/proc/PID/root).

        `pid` is of the VRRP process: with it, NotifyWatched(True) means that this process has the
        FIFO open. Call it again whenever keepalived was started or reloaded: nothing is lost.
        """
        file = root / path.relative_to(path.anchor)
        watched = self._routers.get(router)
        if watched is None:
            watched = self._routers[router] = _Watched(router, path, file, pid)
        watched.path, watched.file, watched.pid = path, file, pid
        watched.held, watched.due, watched.backoff = False, 0.0, TICK / 2
        self._wake_for(router)

    def unwatch(self, router: str) -> None:
        """Emit what is left in the router's FIFO and close it."""
        watched = self._routers.pop(router, None)
        if watched is not None:
            self._close(watched)
            self._report(watched, False)

    async def run(self) -> None:
        """Follow every FIFO until cancelled; once."""
        loop, due = asyncio.get_running_loop(), 0.0
        loop.add_reader(self._epoll.fileno(), self._wake.set)
        try:
            while True:
                now = self.progressed_at = time.monotonic()
                for fd, _ in self._epoll.poll(0, SLICE):  # what is left makes it readable again
                    self._drain(self._open_fds[fd])
                await self._look(now, at_all=now >= due)
                due = now + TICK if now >= due else due
                await asyncio.sleep(0)  # a FIFO that is never empty must not keep the loop
                await self._wait(due)
        finally:
            loop.remove_reader(self._epoll.fileno())
            for router in list(self._routers):
                self.unwatch(router)
            self._epoll.close()

    async def _look(self, now: float, *, at_all: bool) -> None:
        """At those that were asked for, or at all that may not be as they were."""
        wanted, self._unsettled = self._unsettled, set()
        if at_all:
            changed = self._directories.changed()
            for each in self._routers.values():
                if each.directory in changed:
                    each.due = 0.0
                elif each.settled:
                    continue
                wanted.add(each.router)
        for count, router in enumerate(wanted):
            if count % SLICE == SLICE - 1:
                await asyncio.sleep(0)
            if watched := self._routers.get(router):
                self._follow(watched, now)

    async def _wait(self, due: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, due - time.monotonic())):
                await self._wake.wait()
        except TimeoutError:
            return
        finally:
            self._wake.clear()

    def _wake_for(self, router: str) -> None:
        self._unsettled.add(router)
        self._wake.set()

    def _follow(self, watched: _Watched, now: float) -> None:
        self._drain(watched)
        if now >= watched.due:
            watched.due = now + (TICK / 2 if self._up_to_date(watched) else watched.backoff)

    def _up_to_date(self, watched: _Watched) -> bool:
        """Open the FIFO, or the one that replaced it; False while there is none to read."""
        try:
            on_disk = fifo_id(watched.file)
            if on_disk != watched.id and not self._keeps_the_old(watched):
                self._close(watched)
                self._open(watched)
            watched.in_place = on_disk == watched.id
        except OSError as error:
            watched.in_place = False
            if not self._keeps_the_old(watched):
                self._close(watched)
                self._fail(watched, error.strerror or str(error))
                return False
        if not watched.held:
            watched.held = watched.id is not None and holds(watched.pid, watched.id)
        return self._judge(watched)

    def _keeps_the_old(self, watched: _Watched) -> bool:
        """Whether keepalived still writes to the FIFO that is open, though its path changed."""
        if watched.id is None or watched.pid is None:
            return False
        watched.held = holds(watched.pid, watched.id)
        return watched.held

    def _judge(self, watched: _Watched) -> bool:
        if watched.id is not None and len(self._fifos[watched.id]) > 1:
            self._fail(watched, "shared by routers")
            return True
        if not watched.held:
            self._fail(watched, "not open in keepalived")
            return True
        if watched.fault is not None:
            self._log.info("notify.recovered", router=watched.router, path=str(watched.path))
        watched.fault, watched.backoff = None, TICK / 2
        self._report(watched, True)
        return True

    def _open(self, watched: _Watched) -> None:
        directory = self._directories.use(watched.file.parent)
        try:
            fd, watched.id = open_fifo(watched.file)
        except OSError:
            self._directories.leave(directory)
            raise
        watched.fd, watched.directory, watched.fresh = fd, directory, True
        sharers = self._fifos.setdefault(watched.id, [])
        sharers.append(watched)
        self._epoll.register(fd, select.EPOLLIN)
        self._open_fds[fd] = watched
        for sharer in sharers if len(sharers) > 1 else ():
            self._judge(sharer)
        self._wake_for(watched.router)

    def _close(self, watched: _Watched) -> None:
        if watched.fd is None or watched.id is None or watched.directory is None:
            return
        self._drain(watched)
        if watched.buffer.half:
            self._count(watched, Line.GARBAGE, watched.buffer.half)
        self._epoll.unregister(watched.fd)
        del self._open_fds[watched.fd]
        os.close(watched.fd)
        self._directories.leave(watched.directory)
        sharers = self._fifos[watched.id]
        sharers.remove(watched)
        if not sharers:
            del self._fifos[watched.id]
        for sharer in sharers if len(sharers) == 1 else ():
            sharer.due = 0.0
            self._wake_for(sharer.router)
        watched.fd = watched.id = watched.directory = None
        watched.held, watched.buffer = False, LineBuffer()
        self._report(watched, False)

    def _drain(self, watched: _Watched) -> None:
        """Read once what is there; level-triggered, the reader calls again while more is."""
        if watched.fd is None or watched.id is None:
            return
        try:
            data = os.read(watched.fd, CHUNK)
        except BlockingIOError:
            watched.fresh = False
            return
        lines, overlong = watched.buffer.feed(data)
        self.lines[Line.OVERLONG] += overlong
        decoded = [(line, decode(line)) for line in lines]
        for line, outcome in decoded:
            if isinstance(outcome, Line):
                self._count(watched, outcome, line)
        states = [outcome for _, outcome in decoded if isinstance(outcome, StateNotified)]
        self._tell(watched, states, full=len(data) > capacity(watched.fd) - PAGE)
        watched.fresh = False

    def _tell(self, watched: _Watched, states: list[StateNotified], *, full: bool) -> None:
        if watched.id is not None and len(self._fifos[watched.id]) > 1:
            self.lines[Line.SHARED] += len(states)
            return
        told = latest(states) if watched.fresh else states
        if full:  # keepalived drops the newest lines then: what is left names no present state
            self._log.warning("notify.overflowed", router=watched.router, lines=len(states))
            told = []
            self._forget(watched)
        self.lines[Line.STALE] += len(states) - len(told)
        self.lines[Line.STATE] += len(told)
        for state in told:
            self._emit(watched.router, state)

    def _count(self, watched: _Watched, outcome: Line, line: bytes) -> None:
        self.lines[outcome] += 1
        now = time.monotonic()
        if outcome is Line.GARBAGE and now >= watched.garbage_logged + LOG_INTERVAL:
            watched.garbage_logged = now
            self._log.warning("notify.line_rejected", router=watched.router, line=repr(line[:200]))

    def _fail(self, watched: _Watched, fault: str) -> None:
        if fault != watched.fault:
            level = self._log.error if fault.startswith("shared") else self._log.warning
            level("notify.unwatched", router=watched.router, path=str(watched.path), reason=fault)
        watched.fault, watched.backoff = fault, min(watched.backoff * 2, MAX_BACKOFF)
        self._report(watched, False)

    def _forget(self, watched: _Watched) -> None:
        """Take back every word: a line that was lost may have changed it."""
        self._emit(watched.router, NotifyWatched(False))
        if watched.reported:
            self._emit(watched.router, NotifyWatched(True))

    def _report(self, watched: _Watched, watching: bool) -> None:
        if watched.reported is not watching:
            watched.reported = watching
            self._emit(watched.router, NotifyWatched(watching))
