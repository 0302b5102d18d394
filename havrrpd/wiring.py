"""The sources together: which of them watches which router, and where."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import structlog

from havrrpd.config import Config
from havrrpd.core.messages import (
    AddressRemoved,
    Event,
    KeepalivedAbsent,
    KeepalivedEnded,
    KeepalivedReloaded,
    KeepalivedStarted,
    LinkChanged,
    ListDefaultRoutes,
    ProbeGateway,
    RouterGone,
    SettingsChanged,
    StateNotified,
    StopProbing,
)
from havrrpd.core.model import LAST_WORDS, KeepalivedConfig, Router
from havrrpd.core.node import Counters, OddAdvert, Unprotected
from havrrpd.sources.adverts import Adverts
from havrrpd.sources.gateway import Gateways
from havrrpd.sources.keepalived import ExplicitRouter, Keepalived
from havrrpd.sources.netlink import Netlink
from havrrpd.sources.notify import Notify, prepare
from havrrpd.uplinks import Uplinks

NODE = "/node"  # as which netlink follows our own namespace: no router's id has a slash
OWN_NETNS = Path("/proc/self/ns/net")

log = structlog.get_logger()


class Sources:
    """Discovery finds routers; the other sources are pointed at what it found."""

    def __init__(self, emit: Callable[[str, Event | RouterGone], None], loaded: Config) -> None:
        self._emit = emit
        self._notify_dir = Path(loaded.paths.notify_dir)
        self._keepalived = Keepalived(
            emit,
            interval=loaded.discovery.interval,
            netns_dir=Path(loaded.discovery.netns_dir),
            explicit=_explicit(loaded),
        )
        self._netlink = Netlink(self._of_kernel, loaded.discovery.receive_buffer)
        self._uplinks = Uplinks(emit, self._watch_node)
        self._notify = Notify(self._of_keepalived)
        self._adverts = Adverts(emit)
        self._gateways = Gateways(emit)

    @property
    def scanned(self) -> bool:
        """Whether everything that runs was looked for once."""
        return self._keepalived.scanned

    @property
    def unprotected(self) -> tuple[Unprotected, ...]:
        return self._keepalived.unprotected

    @property
    def odd_adverts(self) -> dict[str, tuple[OddAdvert, ...]]:
        return self._adverts.oddities.all()

    def jobs(self) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        return [
            ("netlink", self._netlink.run()),
            ("notify", self._notify.run()),
            ("adverts", self._adverts.run()),
            ("gateway", self._gateways.run()),
            ("keepalived", self._keepalived.run()),
        ]

    def progress(self) -> dict[str, float]:
        """When each source came round last, monotonic seconds."""
        return {
            "netlink": self._netlink.progressed_at,
            "notify": self._notify.progressed_at,
            "adverts": self._adverts.progressed_at,
            "gateway": self._gateways.progressed_at,
            "keepalived": self._keepalived.progressed_at,
        }

    def counters(self) -> Counters:
        return Counters(
            self._netlink.overruns, dict(self._notify.lines), dict(self._adverts.rejected)
        )

    def reconfigure(self, loaded: Config) -> None:
        self._keepalived.explicit = _explicit(loaded)

    def inside(self, router_id: str, path: str) -> Path:
        """A path of keepalived's configuration, as its mount namespace resolves it."""
        return Path(self._keepalived.root(router_id), path.lstrip("/"))

    # --- what an event, seen ahead of its step, changes for the sources ---

    def follow(self, router: Router | None, event: Event | RouterGone) -> None:
        """`router` as it is before the step; None when it is not known."""
        if router is None:
            return
        match event:
            case KeepalivedStarted(pid, _, loaded, _):
                self._uplinks.name(router.id, router.settings.health_check.uplinks)
                log.info("keepalived.started", router=router.id, pid=pid)
                self._netlink.watch(router.id, self._keepalived.netns_path(router.id))
                self._follow(router.id, loaded, pid)
            case KeepalivedReloaded(loaded):
                self._follow(router.id, loaded, router.pid)
            case KeepalivedAbsent(_, loaded):
                self._uplinks.name(router.id, router.settings.health_check.uplinks)
                self._without_process(router.id, loaded)
            case KeepalivedEnded():
                self._without_process(router.id, router.config)
            case SettingsChanged(settings):
                self._uplinks.name(router.id, settings.health_check.uplinks)
            case LinkChanged(_, True):
                self._adverts.refresh(router.id)
            case RouterGone():
                self._forget(router.id)

    def ask(self, router: Router, action: ProbeGateway | StopProbing | ListDefaultRoutes) -> None:
        match action:
            case ProbeGateway():
                self._gateways.probe(router.id, self._keepalived.netns_path(router.id), action)
            case StopProbing():
                self._gateways.stop(router.id)
            case ListDefaultRoutes():
                if router.pid is not None:
                    self._gateways.list_default_routes(router.id, router.pid)

    def _of_kernel(self, watched: str, event: Event) -> None:
        if watched == NODE:
            self._uplinks.heard(event)
            return
        self._adverts.hear()
        if isinstance(event, AddressRemoved):  # maybe by the successor of one that just died
            self._keepalived.notice_deaths()
        self._emit(watched, event)

    def _of_keepalived(self, router_id: str, event: Event) -> None:
        self._adverts.hear()
        if isinstance(event, StateNotified) and event.word not in LAST_WORDS:  # a successor's?
            self._keepalived.notice_deaths()
        self._emit(router_id, event)

    def _watch_node(self, wanted: bool) -> None:
        if wanted:
            self._netlink.watch(NODE, OWN_NETNS)
        else:
            self._netlink.unwatch(NODE)

    def _without_process(self, router_id: str, loaded: KeepalivedConfig) -> None:
        """The process's /proc entry is gone: look by the namespace's name, until one starts."""
        netns = self._keepalived.netns_path(router_id)
        self._netlink.watch(router_id, netns)
        self._adverts.watch(router_id, netns, loaded.instances)
        self._prepare_fifo(router_id, loaded)

    def _follow(self, router_id: str, loaded: KeepalivedConfig, pid: int | None) -> None:
        """The notifications and adverts of a router, as its configuration says where they are."""
        if loaded.notify_fifo is None:
            self._notify.unwatch(router_id)
        else:
            root = self._keepalived.root(router_id)
            self._notify.watch(router_id, Path(loaded.notify_fifo), root, pid)
        netns = self._keepalived.netns_path(router_id)
        self._adverts.watch(router_id, netns, loaded.instances)

    def _prepare_fifo(self, router_id: str, loaded: KeepalivedConfig) -> None:
        """Before keepalived starts again: a FIFO that it made itself is remade by every reload."""
        fifo = Path(loaded.notify_fifo or "/")
        if fifo.parent != self._notify_dir:
            return
        try:
            prepare(fifo)
        except OSError as error:
            log.error("fifo.not_made", router=router_id, path=str(fifo), error=str(error))

    def _forget(self, router_id: str) -> None:
        self._netlink.unwatch(router_id)
        self._uplinks.forget(router_id)
        self._notify.unwatch(router_id)
        self._adverts.unwatch(router_id)
        self._gateways.stop(router_id)


def _explicit(loaded: Config) -> tuple[ExplicitRouter, ...]:
    return tuple(
        ExplicitRouter(Path(router.keepalived_conf), router.namespace)
        for router in loaded.explicit_routers
    )
