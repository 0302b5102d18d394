"""Which routers look different since each reader of /events was told last.

The daemon only marks routers that were stepped. What changed of them is found out when a reader
looks, and only while there is one: so nobody pays for readers who are not there, and what waits
for a slow one is a set of names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from havrrpd.core.model import GatewayCheck, Instance, Router
from havrrpd.core.node import Node
from havrrpd.views.documents import NodeHead
from havrrpd.views.status import head, wire

LOOK_AT_ALL = 1.0  # seconds: what time alone changes, and what no step brings, is seen so often


class Reader:
    """What one client is still to be told."""

    def __init__(self, last_id: int) -> None:
        self.last_id = last_id  # of the transitions that it was told
        self.seen_id = last_id  # of those that had happened at the last look
        self.head = False  # whether the node is news
        self.ended = False
        self._routers: dict[str, None] = {}  # a set that keeps its order
        self._woken = asyncio.Event()

    def wake(self) -> None:
        self._woken.set()

    def end(self) -> None:
        self.ended = True
        self.wake()

    def add(self, routers: Iterable[str]) -> None:
        self._routers.update(dict.fromkeys(routers))

    @property
    def has_routers(self) -> bool:
        return bool(self._routers)

    def take(self, most: int) -> list[str]:
        """Some of the routers that are news; they are none any more."""
        taken = list(self._routers)[:most]
        for router in taken:
            del self._routers[router]
        return taken

    async def wait(self) -> None:
        """Until there may be news, or all are to be looked at."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_AT_ALL):
                await self._woken.wait()
        self._woken.clear()


class Changes:
    """Marks, looks and readers of one daemon."""

    def __init__(self) -> None:
        self._readers: set[Reader] = set()
        self._marked: set[str] = set()
        self._looks: dict[str, object] = {}
        self._head: object = None
        self._looked_at_all = 0.0

    @contextmanager
    def reader(self, node: Node) -> Iterator[Reader]:
        """One that misses nothing from now on."""
        reader = Reader(node.history.last_id)
        self.look(node)  # what is news to the others is none to this one
        self._readers.add(reader)
        try:
            yield reader
        finally:
            self._readers.discard(reader)
            if not self._readers:
                self._looks, self._head, self._looked_at_all = {}, None, 0.0
                self._marked.clear()

    def mark(self, router: str) -> None:
        """It was stepped, or is gone: the next look will tell what that changed."""
        if not self._readers:
            return
        if not self._marked:
            for reader in self._readers:
                reader.wake()
        self._marked.add(router)

    def look(self, node: Node) -> None:
        """Tell every reader what is news since the last look."""
        everything = node.now - self._looked_at_all >= LOOK_AT_ALL
        if not everything and not self._marked:
            return
        routers = {*node.routers, *self._looks} if everything else self._marked
        self._marked = set()
        changed = [router for router in routers if self._has_changed(node, router)]
        if everything:
            self._looked_at_all = node.now
        for reader in self._readers:
            reader.add(changed)
            reader.seen_id = node.history.last_id
        if changed or everything:
            self._look_at_head(node)

    def _has_changed(self, node: Node, router_id: str) -> bool:
        router = node.routers.get(router_id)
        before = self._looks.get(router_id)
        after = None if router is None else _looks(node, router)
        if after is None:
            self._looks.pop(router_id, None)
        else:
            self._looks[router_id] = after
        return before != after

    def _look_at_head(self, node: Node) -> None:
        before, self._head = self._head, _head(head(node))
        if before != self._head:
            for reader in self._readers:
                reader.head = True


def _head(shown: NodeHead) -> object:
    return shown["ready"], shown["draining"], shown["summary"]


def _looks(node: Node, router: Router) -> object:
    """All that /status shows of a router, but for what moves while nothing happens: the round-trip
    time, method and moment of a probe, and when a master was heard last.
    """
    return (
        *(router.pid, router.namespace, router.connectivity, router.lever, router.election),
        *(router.problems, router.uplinks_down, router.settings.observe_only),
        *(router.listed, router.notify_watched),
        [_of_instance(node, router, instance) for instance in router.instances],
        [_of_check(check) for check in router.checks],
        [(o.interface, o.source, o.oddities) for o in node.odd_adverts.get(router.id, ())],
    )


def _of_instance(node: Node, router: Router, instance: Instance) -> object:
    return (
        *(instance.config, instance.state, instance.since, instance.problems),
        *(instance.present, instance.word, instance.priority_seen),
        *(instance.last_transition, instance.transitions),
        wire(node, router, instance),
        [(master.address, master.priority) for master in instance.masters],
    )


def _of_check(check: GatewayCheck) -> object:
    return check.gateway, check.verdict, check.failures_in_a_row
