"""The one loop: sources emit, steps decide, levers act, views read. Decides nothing itself."""

from __future__ import annotations

import asyncio
import gc
import signal
import time
from collections.abc import Coroutine
from contextlib import suppress
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any, assert_never

import structlog
import uvloop
from msgspec.structs import replace

from havrrpd import __version__, capabilities, config, logs, systemd
from havrrpd.config import Config, ConfigError
from havrrpd.core.history import History
from havrrpd.core.messages import (
    Action,
    DrainChanged,
    Event,
    FailoverRequested,
    KeepalivedAbsent,
    KeepalivedStarted,
    ListDefaultRoutes,
    ProbeGateway,
    ReadStanding,
    ReportProblem,
    ReportResignation,
    ReportTransition,
    RouterGone,
    SettingsChanged,
    StandingFailed,
    StandingRead,
    StandingWritten,
    Stopping,
    StopProbing,
    WriteStanding,
)
from havrrpd.core.model import Router
from havrrpd.core.node import Node
from havrrpd.core.resigning import refusal
from havrrpd.journal import Journal
from havrrpd.lag import LagMeter
from havrrpd.levers import drain_mark, track_file
from havrrpd.serving import Serving, admission
from havrrpd.steps import Steps
from havrrpd.usage import UsageMeter
from havrrpd.views.changes import Changes
from havrrpd.views.history import record
from havrrpd.views.web.orders import RefusedError
from havrrpd.wiring import Sources

STALLED_AFTER = 5.0  # seconds without progress: a source is deaf; each comes round every second
READY_AFTER = 5.0  # seconds after which a router that can't be listed is waited for no longer
COLLECT_AFTER = 10_000  # objects: a burst of events makes thousands, which go by themselves
FIXED = ("node", "discovery", "paths", "web.listen", "log")  # what only a restart can change

log = structlog.get_logger()


def run(config_path: str | None) -> int:
    """Serve until SIGTERM or SIGINT. Raises ConfigError; OSError when a socket can't be had."""
    loaded = config.load(config_path)
    logs.configure(loaded.log.level, loaded.log.format)
    gc.set_threshold(COLLECT_AFTER)
    gc.freeze()  # of what was imported nothing goes, and each full collection would look at it all
    return uvloop.run(_serve(loaded, config_path))


async def _serve(loaded: Config, config_path: str | None) -> int:
    daemon = Daemon(loaded, config_path)
    await daemon.serve()
    return 0


class Daemon:
    """Wires sources, steps, levers and views together, and is the Control behind the socket."""

    def __init__(self, loaded: Config, config_path: str | None) -> None:
        self._config = loaded
        self._config_path = config_path
        self._started_at = time.monotonic()
        self._reloaded_at = time.time()
        self._reload_successful = True
        self._draining = drain_mark.is_drained(Path(loaded.paths.state_dir))
        self._changes = Changes()
        self._history = History()
        self._journal = Journal(Path(loaded.paths.state_dir), self._history)
        self._steps = Steps(self._arrived, self._perform, self._changes.mark)
        self._sources = Sources(self._steps.emit, loaded)
        self._serving = Serving(self.snapshot, self, self._changes, loaded)
        self._lag = LagMeter()
        self._usage = UsageMeter()
        self._stop = asyncio.Event()
        self._ready = False
        self._told_ready = False

    # --- the task list ---

    async def serve(self) -> None:
        with self._serving.listening():  # from here on no other havrrpd runs on this node
            self._put_levers_right()
            self._journal.read()
            for name, purpose in capabilities.missing(capabilities.effective() or 0).items():
                log.error("capability.missing", capability=name, needed_for=purpose)
            log.info("daemon.started", version=__version__, node=self._config.node.name)
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(job, name=name) for name, job in self._jobs()]
                self._catch_signals()
                await self._stop.wait()
                self._finish()
                for task in tasks:
                    task.cancel()

    def _finish(self) -> None:
        """Leave nothing half done: a router that resigns gets its standing now."""
        log.info("daemon.stopping")
        systemd.notify(systemd.STOPPING)
        for router_id in self._steps.routers:
            self._steps.emit(router_id, Stopping())
        self._steps.settle()
        self._put_levers_right()  # of routers that went while an uplink was down

    def _jobs(self) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        return [
            ("steps", self._steps.run()),
            ("journal", self._journal.run()),
            *self._sources.jobs(),
            *self._serving.jobs(),
            ("lag", self._lag.run()),
            ("usage", self._usage.run()),
            ("watchdog", self._feed_watchdog()),
        ]

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, partial(self._asked_to_stop, number))
        loop.add_signal_handler(signal.SIGHUP, self._reload_on_signal)

    def _asked_to_stop(self, number: signal.Signals) -> None:
        asyncio.get_running_loop().remove_signal_handler(number)  # a second one kills
        self._stop.set()

    async def _feed_watchdog(self) -> None:
        """Tell systemd that all is well, while it is; and when the first routers are known."""
        period = min(1.0, (systemd.watchdog_interval() or 2.0) / 2)
        while True:
            node = self.snapshot()
            if node.ready and not self._told_ready:
                systemd.notify(systemd.READY, systemd.status(f"{len(node.routers)} routers found"))
                self._told_ready = True
                log.info("daemon.ready", routers=len(node.routers))
            if node.stalled_sources:
                log.error("sources.stalled", sources=node.stalled_sources)
            else:
                systemd.notify(systemd.WATCHDOG)
            await asyncio.sleep(period if self._told_ready else 0.05)

    # --- events that concern the wiring ---

    def _arrived(self, router_id: str, event: Event | RouterGone) -> None:
        if isinstance(event, KeepalivedStarted | KeepalivedAbsent):
            self._welcome(router_id, event.namespace)
        elif isinstance(event, RouterGone):
            log.info("router.gone", router=router_id)
        self._sources.follow(self._steps.routers.get(router_id), event)

    def _welcome(self, router_id: str, namespace: str | None) -> None:
        if router_id in self._steps.routers:
            return
        settings = self._config.settings_for(router_id, namespace)
        self._steps.routers[router_id] = Router(router_id, settings, namespace)
        if self._draining:
            self._steps.emit(router_id, DrainChanged(True))
        log.info("router.found", router=router_id, namespace=namespace)

    # --- actions ---

    def _perform(self, router: Router, action: Action) -> None:
        match action:
            case WriteStanding(path, value):
                self._steps.emit(router.id, self._write(router.id, path, value))
            case ReadStanding(path):
                self._steps.emit(router.id, self._read(router.id, path))
            case ProbeGateway() | StopProbing() | ListDefaultRoutes():
                self._sources.ask(router, action)
            case ReportTransition(instance, old, new, cause):
                self._record(router, action)
                log.info(
                    "instance.state_changed",
                    router=router.id,
                    vrrp_instance=instance,
                    old=old,
                    new=new,
                    cause=cause,
                )
            case ReportProblem(instance, problem, present):
                name = "problem.appeared" if present else "problem.cleared"
                log.warning(name, router=router.id, vrrp_instance=instance, problem=problem)
            case ReportResignation(cause):
                log.warning("router.resigned", router=router.id, cause=cause)
            case _:
                assert_never(action)

    def _record(self, router: Router, report: ReportTransition) -> None:
        kept = record(self._history, router, report, time.time() - time.monotonic())
        if kept is not None:
            self._history.add(kept)
            self._journal.add(kept)

    def _write(self, router_id: str, path: str, value: int) -> Event:
        try:
            track_file.write(self._sources.inside(router_id, path), value)
        except OSError as error:
            log.error("lever.write_failed", router=router_id, path=path, error=str(error))
            return StandingFailed(path, value, str(error))
        log.info("lever.written", router=router_id, path=path, standing=value)
        return StandingWritten(path, value)

    def _read(self, router_id: str, path: str) -> Event:
        try:
            return StandingRead(path, track_file.read(self._sources.inside(router_id, path)))
        except OSError as error:
            log.error("lever.read_failed", router=router_id, path=path, error=str(error))
            return StandingRead(path, None)

    def _put_levers_right(self) -> None:
        """No keepalived finds a FAULT there that nobody would end."""
        directory = Path(self._config.paths.lever_dir)
        try:
            for path in track_file.put_right_all(directory):
                log.warning("lever.put_right", path=str(path))
        except OSError as error:
            log.warning("levers.not_readable", directory=str(directory), error=str(error))

    # --- what may be ordered (web's Control) ---

    def failover(self, router: str) -> None:
        if reason := refusal(self._steps.routers[router]):
            raise RefusedError(f"{router} is not failed over: {reason}")
        log.info("failover.requested", router=router)
        self._steps.emit(router, FailoverRequested())

    def drain(self, draining: bool) -> None:
        try:
            drain_mark.mark(Path(self._config.paths.state_dir), drained=draining)
        except OSError as error:
            raise RefusedError(f"the drain can't be remembered: {error}") from error
        log.info("drain.changed", draining=draining)
        self._draining = draining
        for router_id in self._steps.routers:
            self._steps.emit(router_id, DrainChanged(draining))

    def reload(self) -> None:
        systemd.notify(systemd.reloading())
        try:
            fresh = config.load(self._config_path)
            _refuse_fixed(self._config, fresh)
            admitted = admission(fresh.web)
        except ConfigError as error:
            self._reload_successful = False
            log.error("config.refused", problems=error.problems)
            raise
        finally:
            systemd.notify(systemd.READY)
        self._config = fresh
        self._reload_successful = True
        self._reloaded_at = time.time()
        self._sources.reconfigure(fresh)
        self._serving.admit(admitted)
        for router in self._steps.routers.values():
            settings = fresh.settings_for(router.id, router.namespace)
            if settings != router.settings:
                self._steps.emit(router.id, SettingsChanged(settings))
        log.info("config.reloaded")

    def _reload_on_signal(self) -> None:
        with suppress(ConfigError):  # it was logged, and nobody waits for an answer
            self.reload()

    # --- the views' one argument ---

    def snapshot(self) -> Node:
        now = time.monotonic()
        routers = self._steps.routers
        return Node(
            name=self._config.node.name,
            version=__version__,
            now=now,
            wall_now=time.time(),
            started_at=self._started_at,
            ready=self._is_ready(now),
            draining=self._draining,
            routers=dict(routers),
            unprotected=self._sources.unprotected,
            odd_adverts=self._sources.odd_adverts,
            history=self._history,
            counters=replace(self._sources.counters(), web_refused=self._serving.refused()),
            loop_lag=self._lag.histogram(),
            config_reload_successful=self._reload_successful,
            config_reloaded_at=self._reloaded_at,
            sources=tuple(self._progress()),
            stalled_sources=self._stalled(now),
            usage=self._usage.last,
        )

    def _is_ready(self, now: float) -> bool:
        """Once every router found at first was listed; one that can't be does not hold up all."""
        if not self._ready and self._sources.scanned:
            listed = all(r.listed or r.pid is None for r in self._steps.routers.values())
            self._ready = listed or now - self._started_at > READY_AFTER
        return self._ready

    def _progress(self) -> dict[str, float]:
        return {"steps": self._steps.progressed_at, **self._sources.progress()}

    def _stalled(self, now: float) -> tuple[str, ...]:
        limit = STALLED_AFTER + self._config.discovery.interval
        return tuple(name for name, at in self._progress().items() if now - at > limit)


def _refuse_fixed(old: Config, new: Config) -> None:
    changed = [name for name in FIXED if attrgetter(name)(old) != attrgetter(name)(new)]
    if changed:
        kind = {name: "key" if "." in name else "table" for name in changed}
        raise ConfigError(
            tuple(f"{name}: only a restart can change this {kind[name]}" for name in changed)
        )
