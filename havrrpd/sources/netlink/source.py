"""Follows links and addresses of the watched namespaces: subscribe, list, then follow.

Starting, recovering from an overrun and watching one more namespace are the same code: what is to
be listed is due, and the task lists it while the socket already listens.
"""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from socket import socket

import structlog

from havrrpd.core.messages import Event, KernelListed
from havrrpd.sources.netlink.decode import MalformedError, Message, NamespaceLost, decode, split
from havrrpd.sources.netlink.kernel import OWN, Kernel, open_follower, receive
from havrrpd.sources.netlink.table import Table

RECEIVE_BUFFER = 8 * 1024 * 1024  # bytes
_WAKE_INTERVAL = 1.0  # seconds a deaf reader can matter
_OVERRUN_PAUSE = 0.02  # seconds: lets a burst end before everything is listed
_OVERRUN_LOG_INTERVAL = 1.0  # seconds: overruns come in floods
_FIRST_RETRY, _LAST_RETRY = 0.1, 5.0  # seconds
_DRAIN_BUDGET = 200  # messages before other tasks have their turn
_LISTING_BUDGET = 8  # namespaces, about 0.5 ms each, before other tasks have their turn
_GONE = (errno.ENOENT, errno.EINVAL)  # nothing at the path, or no namespace

log = structlog.get_logger()


@dataclass(slots=True)
class _Namespace:
    """A followed namespace. While it is being listed its messages make no events."""

    table: Table
    routers: set[str] = field(default_factory=set)
    listing: bool = False


@dataclass(slots=True)
class _Watched:
    """A router and where its namespace is; nsid None: it is not followed."""

    path: Path
    nsid: int | None = None
    told: bool = False  # something was listed, so its end must be told too
    retry: float = _FIRST_RETRY
    error: str | None = None


class Netlink:
    """The kernel's links and addresses as events, for every watched router.

    First a KernelListed, then the changes; another KernelListed replaces what was told before
    (after an overrun, a rename, `relist`; an empty one when the namespace is gone).
    """

    def __init__(
        self, emit: Callable[[str, Event], None], receive_buffer: int = RECEIVE_BUFFER
    ) -> None:
        self.overruns = 0
        self._refusal: str | None = None
        self.rejected = 0  # messages that could not be read
        self.progressed_at = time.monotonic()
        self._emit = emit
        self._receive_buffer = receive_buffer
        self._watched: dict[str, _Watched] = {}
        self._due: dict[str, float] = {}  # router -> when to list it
        self._namespaces: dict[int, _Namespace] = {}  # by nsid
        self._wake = asyncio.Event()
        self._overrun_logged_at = float("-inf")

    def watch(self, router: str, netns: Path) -> None:
        """Follow the namespace at `netns` for a router; again: look anew at what is there.

        A path with nothing behind it is tried again, with back-off, until `unwatch`.
        """
        watched = _Watched(netns)
        known = self._watched.get(router)
        if known is not None:
            watched.told = known.told
            if known.path == netns:
                watched.nsid = known.nsid
            else:
                self._detach(router, known)
        self._watched[router] = watched
        self.relist(router)

    def unwatch(self, router: str) -> None:
        """Forget a router. Without effect for one that is not watched."""
        watched = self._watched.pop(router, None)
        self._due.pop(router, None)
        if watched is not None:
            self._detach(router, watched)

    def relist(self, router: str) -> None:
        """List the router's namespace again soon. Without effect for one that is not watched."""
        if router in self._watched:
            self._due[router] = time.monotonic()
            self._wake.set()

    async def run(self) -> None:
        """Follow until cancelled. What the kernel refuses is logged and tried again."""
        retry = _FIRST_RETRY
        while True:
            opened_at = time.monotonic()
            try:
                await self._follow()
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    self._count_overrun()
                    pause = _OVERRUN_PAUSE
                else:
                    if time.monotonic() - opened_at > _LAST_RETRY:
                        retry = _FIRST_RETRY
                    pause, retry = retry, min(2 * retry, _WAKE_INTERVAL)
                    self._note_refusal(error)
                await asyncio.sleep(pause)

    def _note_refusal(self, error: OSError) -> None:
        """One line for the same error again and again; the watchdog sees that nothing goes on."""
        if str(error) != self._refusal:
            self._refusal = str(error)
            log.error("netlink.socket_failed", error=self._refusal)

    def _count_overrun(self) -> None:
        self.overruns += 1
        now = time.monotonic()
        if now - self._overrun_logged_at >= _OVERRUN_LOG_INTERVAL:
            self._overrun_logged_at = now
            log.warning("netlink.overrun_detected", overruns=self.overruns)

    async def _follow(self) -> None:
        with open_follower(self._receive_buffer) as follower, Kernel() as kernel:
            loop = asyncio.get_running_loop()
            loop.add_reader(follower.fileno(), self._wake.set)
            try:
                self._forget_all()
                self._refusal = None
                while True:
                    self.progressed_at = time.monotonic()
                    self._wake.clear()
                    drained = self._drain(follower)
                    self._list_due(kernel, follower)
                    await self._rest(self._idle_for() if drained else 0.0)
            finally:
                loop.remove_reader(follower.fileno())

    async def _rest(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    def _idle_for(self) -> float:
        due = min(self._due.values(), default=float("inf"))
        return min(_WAKE_INTERVAL, due - time.monotonic())

    # --- following ---

    def _drain(self, follower: socket) -> bool:
        """Take in what is queued; whether that was all."""
        for _ in range(_DRAIN_BUDGET):
            received = receive(follower)
            if received is None:
                return True
            self._take_in(*received)
        return False

    def _take_in(self, nsid: int, data: bytes) -> None:
        namespace = self._namespaces.get(nsid)
        if namespace is None and nsid != OWN:
            return  # nobody asked for it: not worth decoding
        try:
            for packet in split(data):
                message = decode(packet)
                if isinstance(message, NamespaceLost):
                    self._lose(nsid, message)
                elif message is not None and namespace is not None:
                    self._apply(namespace, message)
        except MalformedError as error:
            self.rejected += 1
            if self.rejected.bit_count() == 1:  # the 1st, 2nd, 4th, 8th ...
                log.warning("netlink.message_rejected", error=str(error), rejected=self.rejected)

    def _apply(self, namespace: _Namespace, message: Message) -> None:
        events = namespace.table.apply(message)
        if not namespace.listing:
            for event in events:
                for router in namespace.routers:
                    self._emit(router, event)

    def _lose(self, told_by: int, lost: NamespaceLost) -> None:
        """Look again: the number was given up, or has a new owner whose messages come next."""
        namespace = self._namespaces.pop(lost.nsid, None) if told_by == OWN else None
        for router in namespace.routers if namespace else ():
            self._watched[router].nsid = None
            self._due[router] = time.monotonic()

    # --- listing ---

    def _forget_all(self) -> None:
        """List everything anew. Nothing that was known of nsids holds: their end was not heard."""
        self._namespaces.clear()
        for router, watched in self._watched.items():
            watched.nsid = None
            self._due[router] = time.monotonic()

    def _list_due(self, kernel: Kernel, follower: socket) -> None:
        now = time.monotonic()
        due = [router for router, when in self._due.items() if when <= now]
        listed = {
            nsid
            for router in due[:_LISTING_BUDGET]
            if (nsid := self._list(kernel, router)) is not None
        }
        if not listed:
            return
        # What was queued until now may be older than the listing; replayed in its order it ends
        # at the truth, and nobody need see the way there.
        self._drain(follower)
        for namespace in (self._namespaces.get(nsid) for nsid in listed):
            if namespace is not None and namespace.listing:
                namespace.listing = False
                self._tell(namespace.routers, namespace.table.listed())

    def _list(self, kernel: Kernel, router: str) -> int | None:
        """List a router's namespace; its nsid, None if that failed."""
        watched = self._watched[router]
        try:
            nsid, messages = self._ask(kernel, watched)
        except (OSError, MalformedError) as error:
            self._note_failure(router, watched, error)
            return None
        self._attach(router, watched, nsid)
        namespace = self._namespaces[nsid]
        namespace.table = Table(messages)
        namespace.listing = True
        for shared in namespace.routers:
            self._due.pop(shared, None)
        watched.retry, watched.error = _FIRST_RETRY, None
        return nsid

    def _ask(self, kernel: Kernel, watched: _Watched) -> tuple[int, list[Message]]:
        try:
            return kernel.list_path(watched.path)
        except OSError as error:
            if watched.nsid is None or error.errno not in _GONE:
                raise
        # Only the name is gone: processes or descriptors can keep the namespace itself alive.
        return watched.nsid, kernel.list_nsid(watched.nsid)

    def _note_failure(
        self, router: str, watched: _Watched, error: OSError | MalformedError
    ) -> None:
        self._due[router] = time.monotonic() + watched.retry
        watched.retry = min(2 * watched.retry, _LAST_RETRY)
        if watched.error != str(error):
            watched.error = str(error)
            log.warning(
                "namespace.listing_failed", router=router, path=str(watched.path), error=str(error)
            )
        if isinstance(error, OSError) and error.errno in _GONE:
            self._detach(router, watched)
            if watched.told:
                watched.told = False
                self._emit(router, KernelListed({}, frozenset()))

    def _tell(self, routers: set[str], listed: KernelListed) -> None:
        for router in routers:
            self._watched[router].told = True
            self._emit(router, listed)

    def _attach(self, router: str, watched: _Watched, nsid: int) -> None:
        if watched.nsid != nsid:
            self._detach(router, watched)
            watched.nsid = nsid
        self._namespaces.setdefault(nsid, _Namespace(Table())).routers.add(router)

    def _detach(self, router: str, watched: _Watched) -> None:
        nsid, watched.nsid = watched.nsid, None
        namespace = self._namespaces.get(nsid) if nsid is not None else None
        if nsid is not None and namespace is not None:
            namespace.routers.discard(router)
            if not namespace.routers:
                del self._namespaces[nsid]
