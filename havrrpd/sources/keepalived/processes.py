"""Discovery: which keepalived processes run, as what router, and when one dies.

/proc is scanned every `interval`; between scans a pidfd on each process tells of its death at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from havrrpd.core.messages import (
    Event,
    KeepalivedAbsent,
    KeepalivedEnded,
    KeepalivedStarted,
    RouterGone,
)
from havrrpd.core.model import KeepalivedConfig
from havrrpd.core.node import Unprotected
from havrrpd.sources.keepalived import configurations
from havrrpd.sources.keepalived.loaded import LoadedConfig, locate, namespaces, on_disk
from havrrpd.sources.keepalived.pidfds import Pidfds
from havrrpd.sources.keepalived.proc import Netns, Proc
from havrrpd.sources.keepalived.routers import KnownRouter, Main, Process, Registry, name_router
from havrrpd.sources.keepalived.schedule import Schedule
from havrrpd.sources.keepalived.unprotected import UnprotectedNamespaces

Found = Event | KeepalivedAbsent | RouterGone

WAKE_INTERVAL = 1.0  # a reader that went deaf must not matter for longer
YOUNG = 2.0  # a process younger than that may not have opened its sockets yet
SETTLED = 30.0  # one that has not for so long never will
SLICE = 50  # routers looked at, 10 us each, before others on the loop have their turn
OVERLAP = 10.0  # an old process may take that long to stop (child_wait_time is 5 s)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ExplicitRouter:
    """A router that the configuration names: known even while its keepalived does not run."""

    keepalived_conf: Path
    namespace: str | None = None


class Keepalived:
    """The source of keepalived's processes. `emit` is called from the loop, in order."""

    def __init__(
        self,
        emit: Callable[[str, Found], None],
        *,
        interval: float = 2.0,
        netns_dir: Path = Path("/run/netns"),
        proc: Path = Path("/proc"),
        explicit: Sequence[ExplicitRouter] = (),
    ) -> None:
        self.progressed_at = time.monotonic()
        self._emit = emit
        self._netns_dir = netns_dir
        self._proc = Proc(proc)
        self._registry = Registry()
        self._kernel_threads: set[int] = set()
        self._seen: dict[int, float] = {}  # processes of keepalived without a router, since when
        self._names: dict[Netns, str] | None = None  # of namespaces, for one scan
        self._refused: set[int] = set()  # processes that could not be examined, told once
        self._pidfds: Pidfds[KnownRouter] = Pidfds()
        self._woken = asyncio.Event()
        self._schedule = Schedule(interval, time.monotonic())
        self._own_netns = self._proc.netns("self")
        self._unprotected = UnprotectedNamespaces(netns_dir, interval)
        self.scanned = False  # whether everything that runs was looked for once
        self.explicit = tuple(explicit)

    # --- for the daemon ---

    def netns_path(self, router: str) -> Path:
        """What to open to enter the router's network namespace; it may be gone by then."""
        known = self._registry.routers.get(router)
        if known is None:
            return self._netns_dir / router
        if known.process is not None:
            return known.process.netns_path
        if known.namespace is None:
            return self._proc.path / "self" / "ns" / "net"
        return self._netns_dir / known.namespace

    def root(self, router: str) -> Path:
        """Where the paths of the router's configuration begin."""
        known = self._registry.routers.get(router)
        if known is not None and known.process is not None:
            return self._proc.path / str(known.process.pid) / "root"
        return Path("/")

    @property
    def unprotected(self) -> tuple[Unprotected, ...]:
        """The namespaces of Neutron's routers in which no keepalived runs, sorted."""
        return self._unprotected.found

    def notice_deaths(self) -> None:
        """Emit now what has ended by now, so that it comes ahead of what followed from it."""
        for pidfd, router in self._pidfds.collect():
            if router.main is not None and router.main.pidfd == pidfd:
                _log.info("keepalived.main_ended", router=router.id, pid=router.main.pid)
                router.main = None
            elif router.process is not None and router.process.pidfd == pidfd:
                self._end(router, router.process)
            self._schedule.hurry(time.monotonic())

    @property
    def explicit(self) -> tuple[ExplicitRouter, ...]:
        """The routers that the configuration names. One that is no longer named stays if it ran."""
        return self._explicit

    @explicit.setter
    def explicit(self, explicit: Sequence[ExplicitRouter]) -> None:
        self._explicit = tuple(explicit)
        self._registry.told = {}
        for each in explicit:
            path = str(each.keepalived_conf)
            router = self._registry.find(each.namespace, path) or self._registry.add(
                each.namespace, path
            )
            self._registry.told[router.id] = on_disk(each.keepalived_conf)
        self._schedule.hurry(time.monotonic())

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._pidfds.fileno(), self._woken.set)
        try:
            while True:
                self.progressed_at = time.monotonic()
                self._woken.clear()
                self.notice_deaths()
                now = time.monotonic()
                if now >= self._schedule.due:
                    self._schedule.scanning(now)
                    await self._scan()
                    continue
                wait = min(WAKE_INTERVAL, self._schedule.due - now)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), max(wait, 0.0))
        finally:
            loop.remove_reader(self._pidfds.fileno())
            self._pidfds.close()

    # --- deaths ---

    def _end(self, router: KnownRouter, process: Process) -> None:
        router.process = None
        _log.warning("keepalived.ended", router=router.id, pid=process.pid)
        self._emit(router.id, KeepalivedEnded(process.pid))

    # --- scanning ---

    async def _scan(self) -> None:
        self._names = None
        now = time.monotonic()
        try:
            pids = self._proc.pids()
        except OSError as error:  # out of descriptors: what is known stays, the next scan may do
            _log.error("processes.not_listed", error=str(error))
            return
        living, taken = set(pids), self._taken()
        self._kernel_threads &= living
        self._refused &= living
        without_router = living - taken
        self._seen = {pid: at for pid, at in self._seen.items() if pid in without_router}
        for pid in pids:
            if pid not in taken and pid not in self._kernel_threads:
                await self._look_at(pid)
        for count, router in enumerate(self._registry):
            if router.process is not None:
                self._look_for_reload(router, router.process)
            else:
                self._look_at_absent(router)
            if count % SLICE == SLICE - 1:
                await self._let_others_work()
        self._look_for_unprotected(now)
        self.scanned = True

    async def _let_others_work(self) -> None:
        await asyncio.sleep(0)
        self.progressed_at = time.monotonic()

    def _look_for_unprotected(self, now: float) -> None:
        known = list(self._registry)
        taken = {self._namespace_of(pid) for pid in self._seen}  # by a keepalived not adopted
        taken |= {name for each in known for name in (each.namespace, each.config.net_namespace)}
        ids = {each.id for each in known}
        self._unprotected.look(ids, {name for name in taken if name is not None}, now)

    def _namespace_of(self, pid: int) -> str | None:
        try:
            return self._namespace(self._proc.netns(pid))
        except OSError:  # it is gone
            return None

    def _taken(self) -> set[int]:
        processes = {each.process.pid for each in self._registry if each.process is not None}
        return processes | {each.main.pid for each in self._registry if each.main is not None}

    async def _look_at(self, pid: int) -> None:
        """Any process can become keepalived at any time by exec(2), so each is looked at."""
        try:
            if not self._proc.runs_keepalived(pid):
                return
            now = time.monotonic()
            age = now - self._seen.setdefault(pid, now)
            if age > SETTLED and pid not in self._refused:
                return
            if not self._proc.is_trusted(pid):
                self._distrust(pid)
                return
            main = self._proc.keepalived_parent(pid)
            if self._proc.is_vrrp(pid, main):
                self._adopt(pid, main, age)
                await self._let_others_work()  # a thousand of them must not hold the loop
            elif age < YOUNG:
                self._schedule.soon(now)
        except OSError as error:
            self._note_failure(pid, error)

    def _distrust(self, pid: int) -> None:
        if pid not in self._refused:
            self._refused.add(pid)
            _log.warning("process.not_trusted", pid=pid)

    def _note_failure(self, pid: int, error: OSError) -> None:
        """Kernel threads have no program either, and are not looked at again."""
        try:
            if self._proc.is_kernel_thread(pid):
                self._kernel_threads.add(pid)
            else:
                self._note_unexamined(pid, error)
        except OSError as again:
            self._note_unexamined(pid, again)

    def _note_unexamined(self, pid: int, error: OSError) -> None:
        if error.errno in (errno.ENOENT, errno.ESRCH):
            _log.debug("process.vanished", pid=pid)
        elif pid not in self._refused:
            self._refused.add(pid)
            _log.error("process.not_examined", pid=pid, error=str(error))

    # --- a new process ---

    def _adopt(self, pid: int, main: int | None, age: float) -> None:
        """Raises OSError when the process is gone."""
        with contextlib.ExitStack() as unless_adopted:
            pidfd = os.pidfd_open(pid)
            unless_adopted.callback(os.close, pidfd)
            netns = self._proc.netns(pid)
            loaded = locate(self._proc, pid, main)
            started_at = self._proc.started_at(pid)
            if self._must_wait(netns, loaded.path, age):
                return
            stamp = loaded.stamp()
            config = self._read_first(pid, loaded)
            if config is None:
                return
            unless_adopted.pop_all()
        router = self._router_of(netns, loaded.path)
        netns_path = self._proc.path / str(pid) / "ns" / "net"
        router.process = Process(pid, pidfd, netns, netns_path, loaded, stamp)
        router.ran = True
        router.file_seen = os.path.exists(router.path)
        self._seen.pop(pid, None)
        self._refused.discard(pid)
        self._pidfds.watch(pidfd, router)
        self._watch_main(router, main)
        configurations.take(router, config)
        self._emit(router.id, KeepalivedStarted(pid, router.namespace, router.config, started_at))

    def _read_first(self, pid: int, loaded: LoadedConfig) -> KeepalivedConfig | None:
        """None: not yet, as it can't be read."""
        try:
            return loaded.read()
        except OSError as error:
            if pid not in self._refused:
                self._refused.add(pid)
                _log.warning("config.not_read", pid=pid, path=loaded.path, error=str(error))
            return None

    def _must_wait(self, netns: Netns, path: str, age: float) -> bool:
        """While the router's former process is still there, and may be stopping."""
        router = self._registry.find(self._namespace(netns), path)
        former = router.process if router is not None else None
        return former is not None and former.netns == netns and age < OVERLAP

    def _router_of(self, netns: Netns, path: str) -> KnownRouter:
        namespace = self._namespace(netns)
        router = self._registry.find(namespace, path)
        if router is not None and router.process is not None:
            if router.process.netns != netns:
                self._displace(router, router.process)
            else:
                router = None
        if router is None:
            router = self._registry.add(namespace, path)
            if router.id != name_router(namespace, path):
                _log.warning("router.numbered", router=router.id, namespace=namespace, path=path)
        self._registry.place(router, namespace, path)
        return router

    def _displace(self, router: KnownRouter, process: Process) -> None:
        """Its namespace was deleted and made again under the same name: it serves nobody now."""
        _log.warning("keepalived.displaced", router=router.id, pid=process.pid)
        self._pidfds.release(process.pidfd)
        self._seen[process.pid] = float("-inf")
        self._end(router, process)

    def _watch_main(self, router: KnownRouter, main: int | None) -> None:
        if router.main is not None:
            if router.main.pid == main:
                return
            self._pidfds.release(router.main.pidfd)
            router.main = None
        if main is None:
            return
        try:
            pidfd = os.pidfd_open(main)
        except OSError as error:
            # the VRRP process will follow it
            _log.debug("process.vanished", pid=main, error=str(error))
            return
        router.main = Main(main, pidfd)
        self._pidfds.watch(pidfd, router)

    def _namespace(self, netns: Netns) -> str | None:
        """None for our own; one without a name is called as the kernel calls it."""
        if netns == self._own_netns:
            return None
        if self._names is None:
            self._names = dict(namespaces(self._netns_dir))
        return self._names.get(netns, f"net:[{netns[1]}]")

    # --- routers that are known ---

    def _look_for_reload(self, router: KnownRouter, process: Process) -> None:
        changed = process.changed_stamp
        event = configurations.reloaded(router, process)
        if event is not None:
            self._emit(router.id, event)
        elif process.changed_stamp not in (None, changed):
            self._schedule.soon(time.monotonic())

    def _look_at_absent(self, router: KnownRouter) -> None:
        file = self._registry.told.get(router.id)
        if file is not None:
            event = configurations.of_absent(router, file)
            if event is not None:
                self._emit(router.id, event)
        elif router.main is None and self._is_gone(router):
            self._registry.remove(router)
            self._emit(router.id, RouterGone())

    def _is_gone(self, router: KnownRouter) -> bool:
        if not router.ran:
            return True
        if router.file_seen and not os.path.exists(router.path):
            return True
        if router.namespace is None:
            return not router.file_seen
        return not os.path.exists(self._netns_dir / router.namespace)
