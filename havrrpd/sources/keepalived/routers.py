"""Which router a keepalived process is: the ids, and who keeps one when processes come and go."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from havrrpd.core.model import KeepalivedConfig
from havrrpd.sources.keepalived.loaded import LoadedConfig, Stamp
from havrrpd.sources.keepalived.proc import Netns

_NEUTRON = re.compile(r"(?:qrouter|snat)-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")


@dataclass(slots=True)
class Process:
    """A VRRP process that lives, held by its pidfd."""

    pid: int
    pidfd: int
    netns: Netns
    netns_path: Path
    loaded: LoadedConfig
    stamp: Stamp | None  # None: to be read again
    changed_stamp: Stamp | None = None  # seen once; read when it is still so at the next look


@dataclass(frozen=True, slots=True)
class Main:
    """The parent of a VRRP process, which starts it again when it dies."""

    pid: int
    pidfd: int


@dataclass(slots=True)
class KnownRouter:
    """A router on this node, with a process or without."""

    id: str
    namespace: str | None
    path: str  # of the configuration, where keepalived runs
    ran: bool = False  # a process of it was seen
    file_seen: bool = False  # its configuration was there, seen from here
    process: Process | None = None
    main: Main | None = None
    config: KeepalivedConfig = field(default_factory=KeepalivedConfig)
    absent_stamp: Stamp | None = None


def name_router(namespace: str | None, path: str) -> str:
    """The UUID of a Neutron namespace, else the namespace's name, else the file's stem."""
    if namespace is None or namespace.startswith("net:["):
        return PurePosixPath(path).stem or "keepalived"
    return neutron_id(namespace) or namespace


def neutron_id(namespace: str) -> str | None:
    """The UUID of the router whose namespace Neutron would call so."""
    match = _NEUTRON.fullmatch(namespace)
    return match[1] if match else None


@dataclass(slots=True)
class Registry:
    """Every router that is known, by id.

    `told`: of those that the configuration of havrrpd names, where to read while they do not run.
    """

    routers: dict[str, KnownRouter] = field(default_factory=dict)
    told: dict[str, LoadedConfig] = field(default_factory=dict)
    _together: dict[str | None, list[KnownRouter]] = field(default_factory=dict)  # by namespace

    def __iter__(self) -> Iterator[KnownRouter]:
        return iter(tuple(self.routers.values()))

    def find(self, namespace: str | None, path: str) -> KnownRouter | None:
        """The router that a process in this namespace with this configuration belongs to."""
        here = self._together.get(namespace, [])
        if exact := [each for each in here if each.path == path]:
            return _first(exact)
        told = (self.routers[each] for each in self.told)
        if meant := [each for each in told if _is_meant(each, namespace, path)]:
            return _first(meant)
        # The same namespace and another file: moved, unless another router is there as well.
        moved = namespace is not None and len(here) == 1 and here[0].process is None
        return here[0] if moved else None

    def add(self, namespace: str | None, path: str) -> KnownRouter:
        """A new one; where its id is taken it gets a number."""
        name = wanted = name_router(namespace, path)
        number = 1
        while name in self.routers:
            number += 1
            name = f"{wanted}-{number}"
        router = self.routers[name] = KnownRouter(name, namespace, path)
        self._together.setdefault(namespace, []).append(router)
        return router

    def place(self, router: KnownRouter, namespace: str | None, path: str) -> None:
        """It was found there."""
        router.path = path
        if router.namespace != namespace:
            self._leave(router)
            router.namespace = namespace
            self._together.setdefault(namespace, []).append(router)

    def remove(self, router: KnownRouter) -> None:
        del self.routers[router.id]
        self._leave(router)

    def _leave(self, router: KnownRouter) -> None:
        self._together[router.namespace].remove(router)
        if not self._together[router.namespace]:
            del self._together[router.namespace]


def _first(found: list[KnownRouter]) -> KnownRouter:
    """One without a process is preferred."""
    return min(found, key=lambda each: each.process is not None)


def _is_meant(router: KnownRouter, namespace: str | None, path: str) -> bool:
    if router.namespace is not None:
        return router.namespace == namespace
    return router.path == path
