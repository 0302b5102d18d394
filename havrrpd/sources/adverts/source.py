"""Follows the adverts of all routers: one tap on each VRRP interface, one task for all of them."""

from __future__ import annotations

import asyncio
import select
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import structlog

from havrrpd.core.messages import Event, WireWatched
from havrrpd.core.model import InstanceConfig, IPAddress
from havrrpd.core.node import OddAdvert, Oddity
from havrrpd.sources.adverts.decode import Reason, Rejected
from havrrpd.sources.adverts.meaning import Instances
from havrrpd.sources.adverts.oddities import Oddities, oddity
from havrrpd.sources.adverts.wires import Watch, Wire, by_interface, identity

OVERRUN = "overrun"  # in `rejected`: packets that the kernel dropped, as a buffer was full
REST = 0.05  # seconds until the next look, at most: a wake-up costs more than to read an advert
_BATCH = 64  # packets of each tap, or taps to open, before others have their turn
_TICK = 1.0
_NAMESPACE_CHECK = 5.0

_log = structlog.get_logger(__name__)


class Adverts:
    """Emits AdvertSent, AdvertHeard and WireWatched. `emit` is called on the loop and only queues.

    `rejected` counts packets by reason. When they are many, the kernel holds those of foreign
    VRIDs back, so for these the count is a lower bound. `oddities` has what is strange about those
    of ours.
    """

    def __init__(self, emit: Callable[[str, Event], None]) -> None:
        self.rejected: Counter[str] = Counter({reason.value: 0 for reason in Reason})
        self.rejected[OVERRUN] = 0
        self.oddities = Oddities()
        self.progressed_at = time.monotonic()
        self._emit = emit
        self._wake = asyncio.Event()
        self._epoll = select.epoll()  # of the taps
        self._gate = select.epoll()  # of `_epoll`, while it is open: it shuts when it was asked
        self._rest_for = REST  # never longer than an advert_int: nobody seems silent meanwhile
        self._resting: asyncio.TimerHandle | None = None
        self._watches: dict[str, Watch] = {}
        self._open: dict[int, Wire] = {}  # by descriptor
        self._closed: dict[Wire, None] = {}  # to be opened at their retry_at
        self._narrowed: dict[Wire, None] = {}
        self._unsettled: dict[Watch, None] = {}  # whose WireWatched may have changed

    def watch(self, router: str, netns: Path, instances: tuple[InstanceConfig, ...]) -> None:
        """Tap the interfaces of `instances` from now on, and those only; WireWatched follows.

        Taps whose interface stays are kept, so a reload misses nothing.
        """
        known = self._watches.get(router)
        if known is not None and known.netns != netns:
            self.unwatch(router)
        watch = self._watches.setdefault(router, Watch(router, netns))
        self._rest_for = min([self._rest_for, *(each.advert_int for each in instances)])
        wanted = by_interface(instances)
        for gone in watch.wires.keys() - wanted.keys():
            self._close(watch.wires.pop(gone))
        for interface, of_vrid in wanted.items():
            self._want(watch, interface, of_vrid)
        watch.told = None
        self._unsettled[watch] = None
        self._wake.set()

    def unwatch(self, router: str) -> None:
        """Close all taps of the router; nothing is emitted for it any more."""
        watch = self._watches.pop(router, None)
        if watch is None:
            return
        self._unsettled.pop(watch, None)
        self.oddities.forget(router)
        for wire in watch.wires.values():
            self._close(wire)
        watch.wires.clear()  # which know their watch: no circle stays

    def refresh(self, router: str) -> None:
        """Look at the router's interfaces now: a link came up, or was made again."""
        watch = self._watches.get(router)
        if watch is None:
            return
        for wire in watch.wires.values():
            if wire.tap is None:
                wire.retry_now()
            elif not wire.tap.is_current():
                self._lose(wire, "the interface was made again")
        self._wake.set()

    def hear(self) -> None:
        """Emit now what came in by now, so that it comes ahead of what followed from it."""
        if not self._epoll.closed:
            self._drain_ready(time.monotonic())

    async def run(self) -> None:
        """Follow the wires until cancelled; once."""
        # One epoll of our own: an error on a tap stays out of the loop, and looking at a thousand
        # silent taps once a second is one system call. And a gate before it: to put the taps into
        # the loop's own epoll after each rest, the kernel would walk through all of them (0.2 ms).
        loop = asyncio.get_running_loop()
        self._gate.register(self._epoll, select.EPOLLIN | select.EPOLLONESHOT)
        loop.add_reader(self._gate.fileno(), self._wake.set)
        try:
            await self._follow()
        finally:
            if self._resting is not None:
                self._resting.cancel()
            loop.remove_reader(self._gate.fileno())
            for router in list(self._watches):
                self.unwatch(router)
            self._gate.close()
            self._epoll.close()

    async def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        tick_at = time.monotonic() + _TICK
        while True:
            timer = loop.call_later(self._patience(tick_at), self._wake.set)
            await self._wake.wait()
            timer.cancel()
            self._wake.clear()
            now = self.progressed_at = time.monotonic()
            if now >= tick_at:
                tick_at = now + _TICK
                self._tick(now)
            self._open_due(now)
            self._gate.poll(0)
            if self._drain_ready(now):
                self._rest()
            else:
                self._attend()
            self._settle()
            await asyncio.sleep(0)  # with work left, the wait above would not yield

    def _rest(self) -> None:
        """What comes in the next moment is read together."""
        if self._resting is not None:
            self._resting.cancel()
        self._resting = asyncio.get_running_loop().call_later(self._rest_for, self._attend)

    def _attend(self) -> None:
        self._gate.modify(self._epoll, select.EPOLLIN | select.EPOLLONESHOT)

    def _patience(self, tick_at: float) -> float:
        """Seconds until there is something to do, if no packet comes."""
        due = min((wire.retry_at for wire in self._closed), default=tick_at)
        return max(0.0, min(due, tick_at) - time.monotonic())

    def _tick(self, now: float) -> None:
        for watch in self._watches.values():
            if watch.namespace is not None and now >= watch.check_at:
                watch.check_at = now + _NAMESPACE_CHECK
                self._check_namespace(watch)
        for wire in list(self._narrowed):
            wire.widen_if_due(now)
            if not wire.narrowed:
                del self._narrowed[wire]

    def _check_namespace(self, watch: Watch) -> None:
        """Let go of a namespace that was removed: an open socket keeps it and all its links."""
        if identity(watch.netns) == watch.namespace:
            return
        watch.namespace = None
        for wire in watch.wires.values():
            if wire.tap is not None:
                self._lose(wire, "the namespace is gone")

    # --- wires: wanted, opened, lost, closed ---

    def _want(self, watch: Watch, interface: str, instances: Instances) -> None:
        wire = watch.wires.get(interface)
        if wire is not None:
            wire.want(instances)
            return
        wire = watch.wires[interface] = Wire(watch, interface, instances)
        self._closed[wire] = None

    def _open_due(self, now: float) -> None:
        due = [wire for wire in self._closed if wire.retry_at <= now]
        for wire in due[:_BATCH]:
            self._unsettled[wire.watch] = None
            self._try_to_open(wire, now)

    def _try_to_open(self, wire: Wire, now: float) -> None:
        router, interface = wire.watch.router, wire.interface
        try:
            wire.open(now)
        except OSError as error:
            if wire.watch.may_complain(f"open {interface}", now):
                _log.warning(
                    "wire.open_failed", router=router, interface=interface, error=str(error)
                )
            return
        assert wire.tap is not None
        self._epoll.register(wire.tap.fileno(), select.EPOLLIN)
        self._open[wire.tap.fileno()] = wire
        del self._closed[wire]
        _log.info("wire.opened", router=router, interface=interface)

    def _lose(self, wire: Wire, error: str) -> None:
        """The tap is of no use any more: say so, and try again, with back-off."""
        _log.warning("wire.lost", router=wire.watch.router, interface=wire.interface, error=error)
        self._close(wire)
        wire.retry_now()
        self._closed[wire] = None
        self._unsettled[wire.watch] = None
        self._wake.set()  # also if it was `hear` that met the error

    def _close(self, wire: Wire) -> None:
        self._closed.pop(wire, None)
        self._narrowed.pop(wire, None)
        if wire.tap is None:
            return
        self.rejected[OVERRUN] += wire.tap.take_drops()
        self._epoll.unregister(wire.tap.fileno())
        del self._open[wire.tap.fileno()]
        wire.close()

    def _settle(self) -> None:
        """Say of each router that changed whether all of its wires are heard."""
        for watch in list(self._unsettled):
            watched = watch.is_watched
            if watched is None:
                continue
            del self._unsettled[watch]
            if watched is not watch.told:
                watch.told = watched
                self._emit(watch.router, WireWatched(watched))

    # --- packets ---

    def _drain_ready(self, now: float) -> bool:
        """A packet of each tap in turn. Whether there was something, and all of it is read."""
        ready: list[tuple[int, int]] = []
        for turn in range(_BATCH):
            ready = self._epoll.poll(0)
            if not ready:
                return turn > 0
            for descriptor, _ in ready:
                self._read(self._open[descriptor], now)
        for descriptor, _ in ready:  # only now can a buffer have been full
            if (wire := self._open.get(descriptor)) is not None and wire.tap is not None:
                self.rejected[OVERRUN] += wire.tap.take_drops()
        return False

    def _read(self, wire: Wire, now: float) -> None:
        assert wire.tap is not None
        try:
            read = wire.tap.read()
        except OSError as error:  # ENETDOWN: the link is down or gone
            self._lose(wire, str(error))
            return
        if read is None:
            return
        told = wire.meanings.of(*read)
        if isinstance(told, Rejected):
            self._reject(wire, told, now)
            return
        if told.odd:
            self._note(wire, told.event.source, told.odd, now)
        self._emit(wire.watch.router, told.event)

    def _reject(self, wire: Wire, rejected: Rejected, now: float) -> None:
        reason = rejected.reason
        self.rejected[reason.value] += 1
        if rejected.source is not None and (odd := oddity(reason)) is not None:
            self._note(wire, rejected.source, frozenset({odd}), now)
        wire.count_rejected(now)
        if wire.narrowed:
            self._narrowed[wire] = None
        if not wire.watch.may_complain(reason.value, now):
            return
        facts = {"interface": wire.interface, "reason": reason.value}
        if rejected.source is not None:
            facts["source"] = str(rejected.source)
        # Foreign VRIDs are usual where routers share a network.
        log = _log.debug if reason is Reason.FOREIGN_VRID else _log.warning
        log("advert.rejected", router=wire.watch.router, **facts)

    def _note(self, wire: Wire, source: IPAddress, oddities: frozenset[Oddity], now: float) -> None:
        self.oddities.note(wire.watch.router, OddAdvert(wire.interface, source, oddities, now))
