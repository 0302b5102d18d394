"""Probes gateways: starts a probe, waits for the first reply or the deadline, tells the outcome."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
import select
import time
from asyncio import Future
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import assert_never

import structlog
from msgspec import Struct

from havrrpd.core.messages import DefaultRoutesListed, Event, GatewayProbed, ProbeGateway
from havrrpd.core.model import Gateway, Outcome
from havrrpd.sources.gateway.icmp import EchoReply
from havrrpd.sources.gateway.ndp import NeighbourReply
from havrrpd.sources.gateway.routes import list_default_gateways
from havrrpd.sources.gateway.sending import Sender, Sent, is_of_the_network, methods_of, together
from havrrpd.sources.gateway.sockets import Ear, arrival

_log = structlog.get_logger(__name__)

_LONGEST_PAUSE = 1.0  # seconds; a deaf reader never matters for longer
_SHORTEST_PAUSE = 0.001  # seconds; uvloop counts in whole milliseconds, and would spin below one
_PACKETS_A_ROUND = 64  # of one socket, so that a flood on it starves no other
_LOG_INTERVAL = 60.0  # seconds between two log lines about rejected replies


class _Probe(Struct, frozen=True):
    """A probe that nobody has answered yet."""

    gateway: Gateway
    sent: Sent
    sent_at: float
    timeout: float

    @property
    def deadline(self) -> float:
        return self.sent_at + self.timeout


@dataclass(slots=True)
class _Probing:
    """One router's probing: what sends, and what has not been answered, by sequence number."""

    sender: Sender | None = None
    pending: dict[int, _Probe] = field(default_factory=dict)
    sequence: int = field(default_factory=partial(random.getrandbits, 16))

    def next_sequence(self) -> int:
        self.sequence = (self.sequence + 1) & 0xFFFF
        return self.sequence


class Gateways:
    """The probing of all routers. `emit` is called from the loop with a router's id and an event.

    `stop` must follow when a router is gone: open sockets keep its namespace alive.
    """

    def __init__(self, emit: Callable[[str, Event], None]) -> None:
        self._emit = emit
        self._routers: dict[str, _Probing] = {}
        self._ears: dict[int, tuple[str, Ear, Sender]] = {}
        self._deadlines: list[tuple[float, int, str, _Probe]] = []
        self._order = itertools.count()
        self._listings: dict[str, Future[tuple[Gateway, ...]]] = {}
        self._troubles: dict[str, dict[Gateway, str]] = defaultdict(dict)  # what was logged
        self._rejection_logged_at = float("-inf")
        # Our own epoll: under uvloop a reader whose socket has an error (link down) is lost.
        self._poller = select.epoll()
        self._wake = asyncio.Event()
        self.progressed_at = time.monotonic()
        self.discarded = 0  # probes that a late loop could not judge
        self.rejected = 0  # replies that are broken or answer nothing we asked

    def probe(self, router: str, netns: Path, action: ProbeGateway) -> None:
        """Ask one gateway once; exactly one GatewayProbed follows, unless `stop` comes first.

        `netns` is that of a process, which never leaves it: it is opened once, until `stop`.
        """
        try:
            sender = self._sender(router, netns)
            probing = self._routers[router]
            sent = sender.send(action, probing.next_sequence())
        except OSError as error:
            self._report_error(router, action, error)
            return
        self._note_failures(router, action.gateway, sent.failed)
        probe = _Probe(action.gateway, sent, min(sent.sent.values()), action.timeout)
        probing.pending[sent.sequence] = probe
        heapq.heappush(self._deadlines, (probe.deadline, next(self._order), router, probe))
        if self._deadlines[0][3] is probe:
            self._wake.set()

    def stop(self, router: str) -> None:
        """Close the router's sockets; nothing is transmitted or emitted for it any more."""
        self._listings.pop(router, None)
        self._troubles.pop(router, None)
        probing = self._routers.pop(router, None)
        if probing is not None and probing.sender is not None:
            for error in probing.sender.forget_neighbours():
                _log.warning("neighbour.forget_failed", router=router, error=str(error))
            self._close_sender(probing)

    def list_default_routes(self, router: str, process: int | Path) -> None:
        """DefaultRoutesListed follows; `process` is a PID or its directory in /proc."""
        path = Path("/proc", str(process)) if isinstance(process, int) else process
        # A full routing table takes long to read: not on the loop.
        listing = asyncio.get_running_loop().run_in_executor(None, list_default_gateways, path)
        self._listings[router] = listing
        listing.add_done_callback(self._listing_done)

    async def run(self) -> None:
        """Receive replies and watch deadlines, until cancelled."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._poller.fileno(), self._wake.set)
        try:
            while True:
                self.progressed_at = time.monotonic()
                self._wake.clear()
                self._receive()
                self._expire(time.monotonic())
                self._report_routes()
                await self._pause(loop)
        finally:
            loop.remove_reader(self._poller.fileno())
            self.close()

    def close(self) -> None:
        """Close everything; `run` does so at its end, if it ever began."""
        for probing in self._routers.values():
            self._close_sender(probing)
        self._poller.close()

    async def _pause(self, loop: asyncio.AbstractEventLoop) -> None:
        """Until a packet comes or a deadline is due."""
        due = self._deadlines[0][0] - time.monotonic() if self._deadlines else _LONGEST_PAUSE
        timer = loop.call_later(min(max(due, _SHORTEST_PAUSE), _LONGEST_PAUSE), self._wake.set)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()

    def _sender(self, router: str, netns: Path) -> Sender:
        """The router's sockets, opened anew when its process is another one.

        What is pending in a namespace that is gone still gets its timeout.
        """
        probing = self._routers.setdefault(router, _Probing())
        if probing.sender is not None and probing.sender.netns == netns:
            return probing.sender
        self._close_sender(probing)
        probing.sender = self._open_sender(router, netns)
        return probing.sender

    def _open_sender(self, router: str, netns: Path) -> Sender:
        return Sender(netns, partial(self._listen, router), self._unlisten)

    def _listen(self, router: str, sender: Sender, ear: Ear) -> None:
        self._ears[ear.socket.fileno()] = (router, ear, sender)
        self._poller.register(ear.socket.fileno(), select.EPOLLIN)

    def _unlisten(self, ear: Ear) -> None:
        del self._ears[ear.socket.fileno()]
        self._poller.unregister(ear.socket.fileno())

    def _close_sender(self, probing: _Probing) -> None:
        if probing.sender is not None:
            probing.sender.close()
            probing.sender = None

    def _receive(self) -> None:
        """One packet of each socket at a time: more than one is rare, and a look costs as much."""
        for _ in range(_PACKETS_A_ROUND):
            ready = self._poller.poll(0)
            if not ready:
                return
            for descriptor, _ in ready:
                router, ear, sender = self._ears[descriptor]
                try:
                    self._hear(router, ear, sender)
                except OSError as error:  # its link is down or gone: the next probe opens another
                    _log.warning("gateway.socket_failed", router=router, error=str(error))
                    sender.drop(ear)

    def _hear(self, router: str, ear: Ear, sender: Sender) -> None:
        received = ear.receive()
        if received is None:
            return
        # This order: what comes between the two readings makes a reply later, not earlier.
        wall_now = time.time()
        arrived_at = arrival(received, time.monotonic(), wall_now)
        reply = ear.decode(received)
        match reply:
            case None:
                self._reject(router)
            case EchoReply():
                self._hear_echo(router, reply, sender, arrived_at)
            case NeighbourReply():
                self._hear_neighbour(router, reply, arrived_at)
            case _:
                assert_never(reply)

    def _hear_echo(self, router: str, reply: EchoReply, sender: Sender, arrived_at: float) -> None:
        if not sender.expects(reply.identifier):
            self._reject(router)
            return
        probe = self._routers[router].pending.get(reply.sequence)
        if probe is None:  # the second answer to a probe, or a late one
            return
        target = probe.sent.target
        to_us = (target.address, target.source) == (reply.source, reply.destination)
        if to_us and reply.scope in (0, target.index):
            self._report_reply(router, probe, "icmp", arrived_at)
        else:
            self._reject(router)

    def _hear_neighbour(self, router: str, reply: NeighbourReply, arrived_at: float) -> None:
        """It carries no number: it answers all that we have asked of that gateway."""
        for probe in tuple(self._routers[router].pending.values()):
            target = probe.sent.target
            if (target.address, target.source) == (reply.gateway, reply.destination):
                self._report_reply(router, probe, reply.method, arrived_at)

    def _report_reply(self, router: str, probe: _Probe, method: str, arrived_at: float) -> None:
        sent_at = probe.sent.sent.get(method)
        if sent_at is None or not sent_at <= arrived_at <= probe.deadline:
            return
        del self._routers[router].pending[probe.sent.sequence]
        rtt = arrived_at - sent_at
        self._emit(router, GatewayProbed(probe.gateway, probe.sent_at, Outcome.REPLY, method, rtt))

    def _expire(self, now: float) -> None:
        """End what is overdue, and drop the answered probes before the next deadline."""
        while self._deadlines:
            deadline, _, router, probe = self._deadlines[0]
            waiting = self._is_pending(router, probe)
            if waiting and now < deadline:
                return
            heapq.heappop(self._deadlines)
            if waiting:
                self._report_silence(router, probe, late=now - deadline)

    def _is_pending(self, router: str, probe: _Probe) -> bool:
        probing = self._routers.get(router)
        return probing is not None and probing.pending.get(probe.sent.sequence) is probe

    def _report_silence(self, router: str, probe: _Probe, late: float) -> None:
        """A stalled observer does not vote: what it did not hear may have been said."""
        del self._routers[router].pending[probe.sent.sequence]
        stalled = late > probe.timeout / 2
        self.discarded += stalled
        outcome = Outcome.DISCARDED if stalled else Outcome.TIMEOUT
        methods = together(probe.sent.sent)
        self._emit(router, GatewayProbed(probe.gateway, probe.sent_at, outcome, methods))

    def _report_error(self, router: str, action: ProbeGateway, error: OSError) -> None:
        """An observer that lacks descriptors, memory, rights or the namespace does not vote."""
        methods = together(methods_of(action))
        self._note_failures(router, action.gateway, {methods: error})
        outcome = Outcome.ERROR if is_of_the_network(error) else Outcome.DISCARDED
        self._emit(router, GatewayProbed(action.gateway, time.monotonic(), outcome, methods))

    def _note_failures(self, router: str, gateway: Gateway, failed: dict[str, OSError]) -> None:
        """Log what could not be sent, when it is news."""
        trouble = "; ".join(f"{method}: {error}" for method, error in failed.items())
        if trouble == self._troubles[router].get(gateway, ""):
            return
        self._troubles[router][gateway] = trouble
        if trouble:
            address, interface = str(gateway.address), gateway.interface
            _log.warning(
                "gateway.send_failed",
                router=router,
                gateway=address,
                interface=interface,
                error=trouble,
            )

    def _report_routes(self) -> None:
        for router, listing in tuple(self._listings.items()):
            if not listing.done():
                continue
            del self._listings[router]
            try:
                gateways = listing.result()
            except OSError as error:
                _log.warning("routes.list_failed", router=router, error=str(error))
            else:
                self._emit(router, DefaultRoutesListed(gateways))

    def _listing_done(self, listing: Future[tuple[Gateway, ...]]) -> None:
        if not listing.cancelled():
            listing.exception()  # one of a stopped router is never asked for its result
        self._wake.set()

    def _reject(self, router: str) -> None:
        self.rejected += 1
        now = time.monotonic()
        if now - self._rejection_logged_at >= _LOG_INTERVAL:
            self._rejection_logged_at = now
            _log.warning("gateway.reply_rejected", router=router, rejected=self.rejected)
