"""The notify source against real FIFOs and a real keepalived, under uvloop."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from secrets import token_hex
from typing import ParamSpec

import pytest
import uvloop

from havrrpd.core.messages import Event, NotifyWatched, StateNotified
from havrrpd.core.model import Word
from havrrpd.sources.notify import Notify, prepare

P = ParamSpec("P")
LIMIT = 15.0
MASTER = StateNotified("VR_1", Word.MASTER, 100)
BACKUP = StateNotified("VR_1", Word.BACKUP, 100)
STOP = StateNotified("VR_1", Word.STOP, 100)


def under_uvloop(test: Callable[P, Coroutine[None, None, None]]) -> Callable[P, None]:
    """The test, run by the loop that the daemon has."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        uvloop.run(test(*args, **kwargs))

    return run


async def eventually(found: Callable[[], bool]) -> None:
    """Wait, with a limit, for what nothing announces."""
    async with asyncio.timeout(LIMIT):
        while not found():
            await asyncio.to_thread(os.sched_yield)


class Heard:
    """What the source emitted, and a way to wait for more of it."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Event]] = []
        self._more = asyncio.Event()

    def __call__(self, router: str, event: Event) -> None:
        self.events.append((router, event))
        self._more.set()

    async def until(self, found: Callable[[], bool]) -> None:
        async with asyncio.timeout(LIMIT):
            while not found():
                self._more.clear()
                await self._more.wait()

    def words(self) -> list[Word]:
        return [event.word for _, event in self.events if isinstance(event, StateNotified)]

    async def next(self, event: Event, router: str = "r") -> None:
        """Wait for the event, and forget all that came up to it."""
        await self.until(lambda: (router, event) in self.events)
        del self.events[: self.events.index((router, event)) + 1]


@asynccontextmanager
async def reading() -> AsyncIterator[tuple[Notify, Heard]]:
    heard = Heard()
    source = Notify(heard)
    task = asyncio.create_task(source.run())
    try:
        yield source, heard
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def put(fd: int, text: str) -> None:
    os.write(fd, text.encode())


def fill(fd: int, line: bytes) -> None:
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(fd, line)


def remake(fifo: Path) -> None:
    fifo.unlink()
    prepare(fifo)


ROOT = Path("/")


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    path = tmp_path / "router"
    assert prepare(path)
    assert not prepare(path)
    return path


@pytest.fixture
def writer(fifo: Path) -> Iterator[int]:
    """A descriptor that holds the FIFO open, as keepalived does."""
    fd = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
    yield fd
    os.close(fd)


@under_uvloop
async def test_half_lines_are_put_together(fifo: Path, writer: int) -> None:
    async with reading() as (source, heard):
        source.watch("r", fifo, ROOT)
        await heard.next(NotifyWatched(True))
        put(writer, 'garbage\nINSTANCE "VR_1" MAST')
        await eventually(lambda: source.lines["garbage"] >= 1)
        put(writer, "ER 100\n")
        await heard.next(MASTER)


@under_uvloop
async def test_events_groups_and_garbage_are_counted_and_not_emitted(
    fifo: Path, writer: int
) -> None:
    async with reading() as (source, heard):
        source.watch("r", fifo, ROOT)
        await heard.next(NotifyWatched(True))
        put(writer, 'INSTANCE "VR_1" MASTER_RX_LOWER_PRI 100\nGROUP "G" MASTER 0\nnoise\n')
        put(writer, 'INSTANCE "VR_1" MASTER 100\n')
        await heard.next(MASTER)
        assert heard.events == []
        assert {name: count for name, count in source.lines.items() if count} == {
            "event": 1,
            "group": 1,
            "garbage": 1,
            "state": 1,
        }


@under_uvloop
async def test_of_what_was_queued_before_only_the_last_line_counts(fifo: Path, writer: int) -> None:
    put(writer, 'INSTANCE "VR_1" MASTER 100\n' * 5 + 'INSTANCE "VR_1" BACKUP 100\n')
    async with reading() as (source, heard):
        source.watch("r", fifo, ROOT)
        await heard.next(BACKUP)
        assert ("r", MASTER) not in heard.events
        assert source.lines["stale"] == 5


@under_uvloop
async def test_a_pipe_that_was_full_names_no_present_state(fifo: Path, writer: int) -> None:
    line = b'INSTANCE "VR_1" MASTER 100\n'
    fill(writer, line)
    async with reading() as (source, heard):
        source.watch("r", fifo, ROOT)
        await heard.next(NotifyWatched(True))
        await eventually(lambda: source.lines["stale"] >= 2000)
        assert heard.events == [("r", NotifyWatched(False)), ("r", NotifyWatched(True))]
        put(writer, 'INSTANCE "VR_1" BACKUP 100\n')
        await heard.next(BACKUP)
        assert source.lines["state"] == 1


@under_uvloop
async def test_a_regular_file_a_link_and_a_missing_file_are_not_watched(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    os.mkfifo(tmp_path / "real")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    async with reading() as (source, heard):
        for name in ("file", "link", "missing"):
            source.watch(name, tmp_path / name, ROOT)
            await heard.next(NotifyWatched(False), name)
        remake(tmp_path / "file")
        await heard.next(NotifyWatched(True), "file")
    assert not (tmp_path / "missing").exists()


@under_uvloop
async def test_a_fifo_made_anew_is_reopened_and_the_old_one_is_read_to_its_end(
    fifo: Path, writer: int
) -> None:
    async with reading() as (source, heard):
        source.watch("r", fifo, ROOT)
        await heard.next(NotifyWatched(True))
        remake(fifo)
        put(writer, 'INSTANCE "VR_1" MASTER 100\n')
        write_later = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
        try:
            put(write_later, 'INSTANCE "VR_1" BACKUP 100\n')
            await heard.until(lambda: ("r", BACKUP) in heard.events)
        finally:
            os.close(write_later)
        told = [MASTER, NotifyWatched(False), NotifyWatched(True), BACKUP]
        assert heard.events == [("r", event) for event in told]


@under_uvloop
async def test_one_that_was_replaced_is_heard_as_long_as_keepalived_holds_it(
    fifo: Path, writer: int
) -> None:
    async with reading() as (source, heard):
        keepalived = await asyncio.create_subprocess_exec("sleep", "60", stdin=writer)
        try:
            source.watch("r", fifo, ROOT, keepalived.pid)
            await heard.next(NotifyWatched(True))
            await eventually(lambda: source._routers["r"].settled)
            remake(fifo)
            await eventually(lambda: not source._routers["r"].in_place)
            put(writer, 'INSTANCE "VR_1" MASTER 100\n')
            await heard.next(MASTER)
        finally:
            keepalived.kill()
            await keepalived.wait()
        await heard.next(NotifyWatched(False))


@under_uvloop
async def test_watching_the_same_fifo_again_takes_no_word_back(fifo: Path, writer: int) -> None:
    async with reading() as (source, heard):
        source.watch("r", fifo, ROOT, os.getpid())
        await heard.next(NotifyWatched(True))
        put(writer, 'INSTANCE "VR_1" MASTER 100\n')
        await heard.next(MASTER)
        for word, told in (("BACKUP", BACKUP), ("STOP", STOP)):
            source.watch("r", fifo, ROOT, os.getpid())
            put(writer, f'INSTANCE "VR_1" {word} 100\n')
            await heard.until(lambda: heard.events != [])
            assert heard.events == [("r", told)]
            heard.events.clear()


@under_uvloop
async def test_two_routers_on_one_fifo_are_both_unwatched_until_one_leaves(
    fifo: Path, writer: int
) -> None:
    async with reading() as (source, heard):
        source.watch("r", fifo, ROOT)
        await heard.next(NotifyWatched(True))
        source.watch("s", fifo, ROOT)
        await heard.next(NotifyWatched(False), "r")
        await heard.until(lambda: ("s", NotifyWatched(False)) in heard.events)
        put(writer, 'INSTANCE "VR_1" MASTER 100\n')
        await eventually(lambda: source.lines["shared"] >= 1)
        source.unwatch("s")
        await heard.next(NotifyWatched(True), "r")
        assert not any(isinstance(event, StateNotified) for _, event in heard.events)


@under_uvloop
async def test_what_is_left_is_emitted_when_a_router_is_unwatched(fifo: Path, writer: int) -> None:
    async with reading() as (source, heard):
        source.watch("r", fifo, ROOT)
        await heard.next(NotifyWatched(True))
        put(writer, 'INSTANCE "VR_1" STOP 100\n')
        source.unwatch("r")
        assert heard.events == [("r", STOP), ("r", NotifyWatched(False))]


@under_uvloop
async def test_a_fifo_that_keepalived_does_not_hold_is_not_watched(fifo: Path) -> None:
    idle = await asyncio.create_subprocess_exec("/usr/bin/sleep", "60")
    try:
        async with reading() as (source, heard):
            source.watch("r", fifo, Path(f"/proc/{idle.pid}/root"), idle.pid)
            await heard.next(NotifyWatched(False))
    finally:
        idle.kill()
        await idle.wait()


# --- a real keepalived ---


class Keepalived:
    """keepalived -n in a namespace of its own, one instance on one end of a veth pair."""

    def __init__(self, directory: Path) -> None:
        self.name = f"hv{os.getpid()}{token_hex(3)}"
        self.fifo = directory / "fifo"
        self.conf = directory / "keepalived.conf"
        self.directory = directory
        self.process: subprocess.Popen[bytes] | None = None
        self.conf.write_text(
            f"global_defs {{\n vrrp_notify_fifo {self.fifo} root\n vrrp_startup_delay 0.1\n}}\n"
            "vrrp_instance VR_1 {\n state BACKUP\n interface v0\n virtual_router_id 1\n"
            " priority 100\n version 3\n advert_int 0.1\n"
            " virtual_ipaddress {\n  10.99.0.1/24\n }\n}\n"
        )
        for command in (
            ["ip", "netns", "add", self.name],
            ["ip", "-n", self.name, "link", "add", "v0", "type", "veth", "peer", "name", "v1"],
            ["ip", "-n", self.name, "link", "set", "v0", "up"],
            ["ip", "-n", self.name, "link", "set", "v1", "up"],
            ["ip", "-n", self.name, "addr", "add", "10.99.0.2/24", "dev", "v0"],
        ):
            subprocess.run(command, check=True)

    def start(self) -> None:
        pids = [f"--{kind}={self.directory}/{kind}" for kind in ("pid", "vrrp_pid")]
        command = ["/usr/sbin/keepalived", "-n", "-P", "-l", "-f", str(self.conf), *pids]
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", self.name, *command],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def vrrp_pids(self) -> list[int]:
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    async def watched_by(self, source: Notify) -> None:
        await eventually(lambda: self.vrrp_pids() != [])
        pid = self.vrrp_pids()[0]
        source.watch("r", self.fifo, Path(f"/proc/{pid}/root"), pid)

    def inode(self) -> int | None:
        return self.fifo.stat().st_ino if self.fifo.exists() else None

    def reload(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=LIMIT)
            self.process = None

    def remove(self) -> None:
        try:
            self.stop()
        finally:
            subprocess.run(["ip", "netns", "del", self.name], check=True)


@pytest.fixture
def keepalived(tmp_path: Path) -> Iterator[Keepalived]:
    made = Keepalived(tmp_path)
    try:
        yield made
    finally:
        made.remove()


@pytest.mark.root
@under_uvloop
async def test_a_fifo_made_before_keepalived_lives_through_reload_stop_and_start(
    keepalived: Keepalived,
) -> None:
    prepare(keepalived.fifo)
    inode = keepalived.inode()
    keepalived.start()
    async with reading() as (source, heard):
        await keepalived.watched_by(source)
        await heard.next(MASTER)
        keepalived.reload()
        await asyncio.to_thread(keepalived.stop)
        await heard.next(STOP)
        keepalived.start()
        await keepalived.watched_by(source)
        await heard.next(MASTER)
    assert keepalived.inode() == inode


@pytest.mark.root
@under_uvloop
async def test_a_fifo_that_keepalived_remakes_on_reload_is_followed(keepalived: Keepalived) -> None:
    keepalived.start()
    async with reading() as (source, heard):
        await keepalived.watched_by(source)
        await heard.next(MASTER)
        inode = keepalived.inode()
        keepalived.reload()
        await eventually(lambda: keepalived.inode() not in (None, inode))
        await asyncio.to_thread(keepalived.stop)
        await heard.next(STOP)


@pytest.mark.root
@under_uvloop
async def test_nothing_is_lost_while_the_reader_restarts(keepalived: Keepalived) -> None:
    prepare(keepalived.fifo)
    keepalived.start()
    async with reading() as (source, heard):
        await keepalived.watched_by(source)
        await heard.next(MASTER)
    command = ["ip", "-n", keepalived.name, "link", "set", "v0", "down"]
    await asyncio.to_thread(subprocess.run, command, check=True)
    async with reading() as (source, heard):
        await keepalived.watched_by(source)
        await heard.until(
            lambda: any(
                isinstance(e, StateNotified) and e.word is Word.FAULT for _, e in heard.events
            )
        )
