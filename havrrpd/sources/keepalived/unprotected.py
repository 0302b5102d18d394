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
        self._since: dict[Unprotected, float] = {}  # when each was seen first

    def look(self, routers: Collection[str], namespaces: Collection[str], now: float) -> None:
        """`routers` are known by their ids: a distributed one has two namespaces and keepalived
        in one of them. `namespaces` are of known routers or have a keepalived all the same.
        """
        candidates = [
            Unprotected(router, name)
            for name in self._names()
            if name not in namespaces and (router := neutron_id(name)) and router not in routers
        ]
        self._since = {each: self._since.get(each, now) for each in candidates}
        old = (each for each in candidates if now - self._since[each] >= self._patience)
        self.found = tuple(sorted(old))

    def _names(self) -> list[str]:
        try:
            return os.listdir(self._netns_dir)
        except OSError:  # none was ever made
            return []
