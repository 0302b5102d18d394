"""Namespaces of Neutron's routers in which no keepalived runs: nobody takes them over."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from havrrpd.core.node import Unprotected
from havrrpd.sources.keepalived.routers import neutron_id

PATIENCE = 1.5  # intervals: two scans before this one saw it; a router is not built in one go


class UnprotectedNamespaces:
    """Looks at the names in `netns_dir`, once for each scan; `interval` is that of the scans."""

    def __init__(self, netns_dir: Path, interval: float) -> None:
        self.found: tuple[Unprotected, ...] = ()  # sorted
        self._netns_dir = netns_dir
        self._patience = PATIENCE * interval
        self._since: dict[str, float] = {}  # by name, when it was seen first

    def look(self, routers: Collection[str], namespaces: Collection[str], now: float) -> None:
        """`routers` are known by their ids: a distributed one has two namespaces and keepalived
        in one of them. `namespaces` are of known routers or have a keepalived all the same.
        """
        ids = {name: neutron_id(name) for name in self._names() if name not in namespaces}
        seen = {name: router for name, router in ids.items() if router and router not in routers}
        self._since = {name: self._since.get(name, now) for name in seen}
        self.found = tuple(
            sorted(
                Unprotected(router, name)
                for name, router in seen.items()
                if now - self._since[name] >= self._patience
            )
        )

    def _names(self) -> list[str]:
        try:
            return os.listdir(self._netns_dir)
        except OSError:  # none was ever made
            return []
