"""Gateways are probed for real: a router's namespace, a gateway's, and a veth pair between them."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
import os
import secrets
import socket
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface
from pathlib import Path

import pytest
import uvloop

from havrrpd.core.messages import DefaultRoutesListed, Event, GatewayProbed, ProbeGateway
from havrrpd.core.model import Gateway, IPInterface, Outcome
from havrrpd.netns import open_inside
from havrrpd.sources.gateway import Gateways
from tests.collected import nothing_waits_for_the_garbage_collector

pytestmark = pytest.mark.root

LIMIT = 5.0  # seconds that a test waits for what must happen
OWN4, GATEWAY4 = ip_interface("203.0.113.50/24"), Gateway(IPv4Address("203.0.113.1"), "qg-0")
OWN6 = ip_interface("fd00:203:0:113::50/64")
GATEWAY6 = Gateway(IPv6Address("fd00:203:0:113::1"), "qg-0")
LINK_LOCAL = ip_interface("fe80::50/64")
GATEWAY_LINK_LOCAL = Gateway(IPv6Address("fe80::1"), "qg-0")
BOTH = ("arp", "icmp")
_serial = itertools.count()


@pytest.fixture(params=[uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
def loop_factory(request: pytest.FixtureRequest) -> object:
    return request.param


def ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


@dataclass
class Wire:
    """The two namespaces, `router` with qg-0 and `gateway` with up-0."""

    router: str
    gateway: str
    sockets: list[socket.socket] = field(default_factory=list)

    @property
    def netns(self) -> Path:
        return Path("/run/netns", self.router)

    def in_router(self, *words: str) -> str:
        return ip("-n", self.router, *words)

    def in_gateway(self, *words: str) -> str:
        return ip("-n", self.gateway, *words)

    def run_in_router(self, *words: str) -> None:
        ip("netns", "exec", self.router, *words)

    def run_in_gateway(self, *words: str) -> None:
        ip("netns", "exec", self.gateway, *words)

    def mac_of_router(self) -> bytes:
        link = self.in_router("-o", "link", "show", "qg-0")
        return bytes.fromhex(link.split("link/ether ")[1].split()[0].replace(":", ""))

    def mac_of_gateway(self) -> bytes:
        link = self.in_gateway("-o", "link", "show", "up-0")
        return bytes.fromhex(link.split("link/ether ")[1].split()[0].replace(":", ""))

    def tap(self) -> socket.socket:
        """A socket at the gateway's end that hears every frame that arrives, and can send any."""
        descriptor = os.open(f"/run/netns/{self.gateway}", os.O_RDONLY)
        try:
            sock = open_inside(
                descriptor, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            )
        finally:
            os.close(descriptor)
        self.sockets.append(sock)
        sock.setblocking(False)
        sock.bind(("up-0", 0x0003))
        return sock


def frames_from(tap: socket.socket, mac: bytes) -> list[bytes]:
    """What the router has sent until now, but for its multicast listener reports."""
    frames: list[bytes] = []
    while True:
        try:
            frame = tap.recv(2048)
        except BlockingIOError:
            return frames
        if frame[6:12] == mac and not is_multicast_listener_report(frame):
            frames.append(frame)


async def frame_from(tap: socket.socket, mac: bytes, protocol: int) -> bytes:
    """The next frame of the router with an EtherType, but for its multicast listener reports."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(LIMIT):
        while True:
            frame = await loop.sock_recv(tap, 2048)
            is_wanted = frame[6:12] == mac and frame[12:14] == protocol.to_bytes(2, "big")
            if is_wanted and not is_multicast_listener_report(frame):
                return frame


def is_multicast_listener_report(frame: bytes) -> bool:
    """The kernel sends those of an address seconds after it was given, whatever is probed."""
    return frame[12:14] == b"\x86\xdd" and frame[20] == 0  # a hop-by-hop header


@pytest.fixture
def wire() -> Iterator[Wire]:
    suffix = f"{os.getpid()}-{next(_serial)}-{secrets.token_hex(2)}"
    wire = Wire(f"hvr-{suffix}", f"hvg-{suffix}")
    try:
        for name in (wire.router, wire.gateway):
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        # As in a router of Neutron's; a host would solicit routers, every few seconds.
        wire.run_in_router("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
        names = ("type", "veth", "peer", "name", "up-0", "netns", wire.gateway)
        wire.in_router("link", "add", "qg-0", *names)
        wire.in_router("link", "set", "qg-0", "addrgenmode", "none")
        wire.in_gateway("link", "set", "up-0", "addrgenmode", "none")
        wire.in_gateway("link", "set", "up-0", "up")
        wire.in_router("link", "set", "qg-0", "up")
        for own in (OWN4, OWN6, LINK_LOCAL):
            nodad = ["nodad"] if own.version == 6 else []
            wire.in_router("address", "add", str(own), "dev", "qg-0", *nodad)
            prefix = f"{own.network.network_address + 1}/{own.network.prefixlen}"
            wire.in_gateway("address", "add", prefix, "dev", "up-0", *nodad)
        yield wire
    finally:
        for sock in wire.sockets:
            sock.close()
        for name in (wire.router, wire.gateway):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


@dataclass
class Probing:
    """The source with its run loop, and the events that it emitted for the router "r"."""

    wire: Wire
    gateways: Gateways
    events: asyncio.Queue[Event]

    def probe(
        self,
        gateway: Gateway,
        source: IPInterface | None,
        methods: tuple[str, ...] = BOTH,
        timeout: float = 2.0,
    ) -> None:
        action = ProbeGateway(gateway, source, timeout, methods)
        self.gateways.probe("r", self.wire.netns, action)

    async def outcome(self) -> GatewayProbed:
        async with asyncio.timeout(LIMIT):
            event = await self.events.get()
        assert isinstance(event, GatewayProbed)
        return event


@contextlib.asynccontextmanager
async def probing_on(wire: Wire) -> AsyncIterator[Probing]:
    events: asyncio.Queue[Event] = asyncio.Queue()
    gateways = Gateways(lambda _, event: events.put_nowait(event))
    task = asyncio.create_task(gateways.run())
    try:
        yield Probing(wire, gateways, events)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        gateways.close()


def on_both_loops(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """The test, on uvloop and on the stock loop, with a source that runs as its first argument."""

    def run(
        wire: Wire, loop_factory: Callable[[], asyncio.AbstractEventLoop], **arguments: object
    ) -> None:
        async def with_probing() -> None:
            async with probing_on(wire) as probing:
                await test(probing, **arguments)

        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(with_probing())

    own, fixed = inspect.signature(test).parameters, inspect.signature(run).parameters
    names = [fixed["wire"], fixed["loop_factory"], *list(own.values())[1:]]
    positional = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature([each.replace(kind=positional) for each in names])
    run.__name__, run.__doc__ = test.__name__, test.__doc__
    vars(run)["__signature__"] = signature  # what pytest reads for the names of fixtures
    return run


CASES = [
    pytest.param(GATEWAY4, OWN4, ("arp",), "arp", id="arp"),
    pytest.param(GATEWAY4, OWN4, ("icmp",), "icmp", id="icmp"),
    pytest.param(GATEWAY6, OWN6, ("arp",), "ndp", id="ndp"),
    pytest.param(GATEWAY6, OWN6, ("icmp",), "icmp", id="icmpv6"),
    pytest.param(GATEWAY_LINK_LOCAL, LINK_LOCAL, ("arp",), "ndp", id="ndp link-local"),
    pytest.param(GATEWAY_LINK_LOCAL, LINK_LOCAL, ("icmp",), "icmp", id="icmpv6 link-local"),
    pytest.param(GATEWAY4, None, ("icmp",), "icmp", id="icmp without a source"),
    pytest.param(GATEWAY6, None, ("icmp",), "icmp", id="icmpv6 without a source"),
    pytest.param(Gateway(GATEWAY4.address), OWN4, BOTH, "icmp", id="no interface"),
]


@pytest.mark.parametrize(("gateway", "source", "methods", "method"), CASES)
@on_both_loops
async def test_a_gateway_that_is_there_answers(
    probing: Probing,
    gateway: Gateway,
    source: IPInterface | None,
    methods: tuple[str, ...],
    method: str,
) -> None:
    before = time.monotonic()
    probing.probe(gateway, source, methods)
    event = await probing.outcome()
    assert (event.gateway, event.outcome, event.method) == (gateway, Outcome.REPLY, method)
    assert before <= event.sent_at <= time.monotonic()
    assert event.rtt_seconds is not None
    assert 0 < event.rtt_seconds < 0.5


@on_both_loops
async def test_the_first_reply_ends_a_probe_and_nothing_follows(probing: Probing) -> None:
    for _ in range(20):
        probing.probe(GATEWAY4, OWN4, timeout=0.5)
    probing.probe(Gateway(IPv4Address("203.0.113.9"), "qg-0"), OWN4, timeout=0.8)
    outcomes = [(await probing.outcome()).outcome for _ in range(21)]
    assert outcomes == [Outcome.REPLY] * 20 + [Outcome.TIMEOUT]
    assert probing.events.empty()
    assert probing.gateways.rejected == 0


@pytest.mark.parametrize(
    ("gateway", "source", "methods"),
    [(GATEWAY4, OWN4, "arp+icmp"), (GATEWAY6, OWN6, "ndp+icmp")],
    ids=["ipv4", "ipv6"],
)
@on_both_loops
async def test_a_gateway_that_is_down_is_a_timeout_when_its_time_is_over(
    probing: Probing, gateway: Gateway, source: IPInterface, methods: str
) -> None:
    prefix = 24 if gateway.address.version == 4 else 64
    probing.wire.in_gateway("address", "del", f"{gateway.address}/{prefix}", "dev", "up-0")
    before = time.monotonic()
    probing.probe(gateway, source, timeout=1.0)
    event = await probing.outcome()
    assert (event.outcome, event.method, event.rtt_seconds) == (Outcome.TIMEOUT, methods, None)
    assert 1.0 <= time.monotonic() - before < 1.5


@on_both_loops
async def test_a_gateway_that_ignores_echo_requests_answers_by_arp(probing: Probing) -> None:
    probing.wire.run_in_gateway("sysctl", "-qw", "net.ipv4.icmp_echo_ignore_all=1")
    probing.probe(GATEWAY4, OWN4)
    assert (await probing.outcome()).method == "arp"
    probing.probe(GATEWAY4, OWN4, ("icmp",), timeout=0.5)
    assert (await probing.outcome()).outcome is Outcome.TIMEOUT


@on_both_loops
async def test_a_gateway_whose_arp_is_filtered_answers_by_icmp(probing: Probing) -> None:
    wire = probing.wire
    fixed = ("dev", "qg-0", "nud", "permanent")
    gateway_mac, router_mac = wire.mac_of_gateway().hex(":"), wire.mac_of_router().hex(":")
    wire.in_router("neigh", "add", str(GATEWAY4.address), "lladdr", gateway_mac, *fixed)
    wire.in_gateway("neigh", "add", str(OWN4.ip), "lladdr", router_mac, "dev", "up-0")
    rules = "table arp t { chain c { type filter hook input priority 0; policy drop; }; }"
    wire.run_in_gateway("nft", rules)
    probing.probe(GATEWAY4, OWN4)
    assert (await probing.outcome()).method == "icmp"
    probing.probe(GATEWAY4, OWN4, ("arp",), timeout=0.5)
    assert (await probing.outcome()).outcome is Outcome.TIMEOUT
    probing.gateways.stop("r")  # what an operator fixed stays
    assert "PERMANENT" in wire.in_router("neigh", "show", str(GATEWAY4.address), "dev", "qg-0")


@pytest.mark.parametrize(
    ("gateway", "source", "nonlocal_bind"),
    [
        (GATEWAY4, OWN4, "net.ipv4.ip_nonlocal_bind=1"),
        (GATEWAY6, OWN6, "net.ipv6.ip_nonlocal_bind=1"),
        (GATEWAY_LINK_LOCAL, LINK_LOCAL, "net.ipv6.ip_nonlocal_bind=1"),
    ],
    ids=["ipv4", "ipv6", "link-local"],
)
@on_both_loops
async def test_without_its_source_address_a_probe_puts_nothing_on_the_wire(
    probing: Probing, gateway: Gateway, source: IPInterface, nonlocal_bind: str
) -> None:
    wire, mac = probing.wire, probing.wire.mac_of_router()
    probing.probe(gateway, source)
    assert (await probing.outcome()).outcome is Outcome.REPLY
    probing.gateways.stop("r")
    # This setting lets bind() take any address: it must not fool the guard.
    wire.run_in_router("sysctl", "-qw", nonlocal_bind)
    wire.in_router("address", "del", str(source), "dev", "qg-0")
    tap = wire.tap()
    probing.probe(gateway, source)
    assert (await probing.outcome()).outcome is Outcome.ERROR
    assert frames_from(tap, mac) == []


@on_both_loops
async def test_an_interface_without_addresses_sends_nothing_from_another_ones(
    probing: Probing,
) -> None:
    wire, mac = probing.wire, probing.wire.mac_of_router()
    for own in (OWN4, OWN6, LINK_LOCAL):
        wire.in_router("address", "del", str(own), "dev", "qg-0")
    wire.in_router("address", "add", "192.0.2.1/32", "dev", "lo")
    wire.in_router("address", "add", "2001:db8::1/128", "dev", "lo")
    wire.in_router("route", "add", "203.0.113.0/24", "dev", "qg-0")
    wire.in_router("route", "add", "fd00:203:0:113::/64", "dev", "qg-0")
    tap = wire.tap()
    for gateway in (GATEWAY4, Gateway(GATEWAY4.address), GATEWAY6, Gateway(GATEWAY6.address)):
        probing.probe(gateway, None)
        assert (await probing.outcome()).outcome is Outcome.ERROR
    assert frames_from(tap, mac) == []


@pytest.mark.parametrize(
    ("gateway", "source"),
    [
        (Gateway(GATEWAY4.address, "qg-9"), OWN4),
        (Gateway(GATEWAY4.address, "a-name-that-is-too-long"), OWN4),
        (Gateway(IPv4Address("198.51.100.1")), None),
    ],
    ids=["no interface", "no such name", "no route"],
)
@on_both_loops
async def test_what_cannot_be_sent_is_an_error_at_once(
    probing: Probing, gateway: Gateway, source: IPInterface | None
) -> None:
    probing.probe(gateway, source, timeout=60.0)
    assert (await probing.outcome()).outcome is Outcome.ERROR


@pytest.mark.parametrize(
    ("methods", "outcome"),
    [(BOTH, Outcome.REPLY), (("arp",), Outcome.DISCARDED)],
    ids=["one method works", "none works"],
)
@on_both_loops
async def test_of_what_cannot_be_sent_nothing_waits_for_the_garbage_collector(
    probing: Probing, methods: tuple[str, ...], outcome: Outcome
) -> None:
    without_interface = Gateway(GATEWAY4.address)
    with nothing_waits_for_the_garbage_collector():
        probing.probe(without_interface, OWN4, methods)
        assert (await probing.outcome()).outcome is outcome


@on_both_loops
async def test_a_link_local_gateway_without_its_interface_cannot_be_judged(
    probing: Probing,
) -> None:
    probing.probe(Gateway(IPv6Address("fe80::1")), LINK_LOCAL, timeout=60.0)
    assert (await probing.outcome()).outcome is Outcome.DISCARDED


@on_both_loops
async def test_a_namespace_that_was_never_there_says_nothing_of_the_gateway(
    probing: Probing,
) -> None:
    nowhere = Path("/run/netns/hv-nowhere")
    probing.gateways.probe("x", nowhere, ProbeGateway(GATEWAY4, OWN4, 1.0, BOTH))
    assert (await probing.outcome()).outcome is Outcome.DISCARDED
    probing.gateways.stop("x")


@on_both_loops
async def test_a_namespace_deleted_in_the_middle_of_a_probe_ends_it(probing: Probing) -> None:
    probing.wire.in_gateway("link", "set", "up-0", "down")
    probing.probe(GATEWAY4, OWN4, timeout=0.5)
    ip("netns", "del", probing.wire.router)
    assert (await probing.outcome()).outcome is Outcome.TIMEOUT


@on_both_loops
async def test_another_process_of_a_router_is_probed_for_in_its_own_namespace(
    probing: Probing,
) -> None:
    wire = probing.wire
    probing.probe(GATEWAY4, OWN4)
    assert (await probing.outcome()).outcome is Outcome.REPLY
    wire.in_router("link", "del", "qg-0")
    ip("netns", "del", wire.router)
    ip("netns", "add", wire.router)
    peer = ("type", "veth", "peer", "name", "up-0", "netns", wire.gateway)
    wire.in_router("link", "add", "qg-0", *peer)
    wire.in_gateway("link", "set", "up-0", "up")
    wire.in_router("link", "set", "qg-0", "up")
    wire.in_router("address", "add", str(OWN4), "dev", "qg-0")
    wire.in_gateway("address", "add", "203.0.113.1/24", "dev", "up-0")
    with process_in(wire.router) as process:
        await until(lambda: Path(f"/proc/{process.pid}/comm").read_text() == "sleep\n")
        netns = Path(f"/proc/{process.pid}/ns/net")
        probing.gateways.probe("r", netns, ProbeGateway(GATEWAY4, OWN4, 2.0, BOTH))
        assert (await probing.outcome()).outcome is Outcome.REPLY


@on_both_loops
async def test_probing_goes_on_after_the_link_was_down(probing: Probing) -> None:
    for _ in range(3):
        for method in BOTH:
            probing.probe(GATEWAY4, OWN4, (method,))
            assert (await probing.outcome()).outcome is Outcome.REPLY
        probing.wire.in_router("link", "set", "qg-0", "down")
        probing.probe(GATEWAY4, OWN4)
        assert (await probing.outcome()).outcome is Outcome.ERROR
        probing.wire.in_router("link", "set", "qg-0", "up")


@on_both_loops
async def test_a_stopped_router_is_silent(probing: Probing) -> None:
    probing.probe(Gateway(IPv4Address("203.0.113.9"), "qg-0"), OWN4, timeout=0.1)
    probing.probe(GATEWAY4, OWN4, timeout=0.1)
    probing.gateways.stop("r")
    # Another router's timeout comes later than all that could have come from the stopped one.
    probing.gateways.probe(
        "other",
        probing.wire.netns,
        ProbeGateway(Gateway(IPv4Address("203.0.113.8"), "qg-0"), OWN4, 0.2, BOTH),
    )
    assert (await probing.outcome()).gateway.address == ip_address("203.0.113.8")
    assert probing.events.empty()
    probing.gateways.stop("other")


@on_both_loops
async def test_the_kernel_asks_no_more_for_a_dead_gateway_once_probing_stopped(
    probing: Probing,
) -> None:
    wire, mac = probing.wire, probing.wire.mac_of_router()
    dead = [Gateway(IPv4Address("203.0.113.9"), "qg-0"), Gateway(IPv6Address("fe80::9"), "qg-0")]
    tap = wire.tap()
    for gateway, source in zip(dead, (OWN4, LINK_LOCAL), strict=True):
        probing.probe(gateway, source, timeout=60.0)
    assert "INCOMPLETE" in wire.in_router("neigh", "show")
    probing.gateways.stop("r")
    assert "INCOMPLETE" not in wire.in_router("neigh", "show")
    assert frames_from(tap, mac) != []
    # The kernel repeats itself every second: this one comes later than its next word would.
    probing.gateways.probe(
        "nobody",
        Path("/run/netns", wire.gateway),
        ProbeGateway(
            Gateway(IPv4Address("203.0.113.7"), "up-0"), ip_interface("203.0.113.1/24"), 1.5, BOTH
        ),
    )
    assert (await probing.outcome()).outcome is Outcome.TIMEOUT
    assert frames_from(tap, mac) == []
    probing.gateways.stop("nobody")


@on_both_loops
async def test_a_probe_that_a_stalled_loop_could_not_judge_is_discarded(
    probing: Probing,
) -> None:
    silent = Gateway(IPv4Address("203.0.113.9"), "qg-0")
    probing.probe(silent, OWN4, timeout=0.1)
    await asyncio.sleep(0)
    stall(0.2)
    assert (await probing.outcome()).outcome is Outcome.DISCARDED
    assert probing.gateways.discarded == 1


@on_both_loops
async def test_a_reply_that_came_in_time_counts_though_the_loop_was_late(
    probing: Probing,
) -> None:
    probing.probe(GATEWAY4, OWN4, timeout=1.0)
    stall(1.6)
    event = await probing.outcome()
    assert event.outcome is Outcome.REPLY
    assert event.rtt_seconds is not None
    assert event.rtt_seconds < 1.0


def stall(seconds: float) -> None:
    """What a loop suffers when something on it blocks."""
    time.sleep(seconds)


def checksummed(message: bytes) -> bytes:
    return message[:2] + internet_checksum(message) + message[4:]


def internet_checksum(data: bytes) -> bytes:
    total: int = sum(word for (word,) in struct.iter_unpack("!H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return (0xFFFF - total).to_bytes(2, "big")


def ipv4_frame(request: bytes, source: IPv4Address, identifier: int, sequence: int) -> bytes:
    """An echo reply to the sender of the frame `request`."""
    message = checksummed(struct.pack("!BBHHH", 0, 0, 0, identifier, sequence) + request[42:])
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(message), 0, 0, 64, 1, 0)
    head += source.packed + request[26:30]
    head = head[:10] + internet_checksum(head) + head[12:]
    return request[6:12] + request[:6] + b"\x08\x00" + head + message


@on_both_loops
async def test_echo_replies_with_a_wrong_identifier_sequence_or_source_count_for_nothing(
    probing: Probing,
) -> None:
    wire = probing.wire
    wire.run_in_gateway("sysctl", "-qw", "net.ipv4.icmp_echo_ignore_all=1")
    tap = wire.tap()
    probing.probe(GATEWAY4, OWN4, ("icmp",), timeout=LIMIT)
    request = await frame_from(tap, wire.mac_of_router(), 0x0800)
    identifier, sequence = struct.unpack_from("!HH", request, 38)
    gateway = IPv4Address("203.0.113.1")
    tap.send(ipv4_frame(request, gateway, identifier ^ 1, sequence))
    tap.send(ipv4_frame(request, gateway, identifier, sequence ^ 1))
    tap.send(ipv4_frame(request, IPv4Address("203.0.113.2"), identifier, sequence))
    await until(lambda: probing.gateways.rejected == 1)  # the filter keeps the first one out
    assert probing.events.empty()
    tap.send(ipv4_frame(request, gateway, identifier, sequence))
    assert (await probing.outcome()).outcome is Outcome.REPLY


@on_both_loops
async def test_arp_replies_of_others_or_to_others_count_for_nothing(probing: Probing) -> None:
    wire = probing.wire
    wire.in_gateway("address", "del", "203.0.113.1/24", "dev", "up-0")
    tap = wire.tap()
    probing.probe(GATEWAY4, OWN4, ("arp",), timeout=LIMIT)
    request = await frame_from(tap, wire.mac_of_router(), 0x0806)
    assert request[14:42] == (
        b"\0\1\x08\0\6\4\0\1"
        + wire.mac_of_router()
        + OWN4.ip.packed
        + bytes(6)
        + GATEWAY4.address.packed
    )
    mac, router_mac = wire.mac_of_gateway(), wire.mac_of_router()

    def reply(operation: int, sender: str, told: str) -> bytes:
        body = b"\0\1\x08\0\6\4" + operation.to_bytes(2, "big")
        body += mac + IPv4Address(sender).packed + router_mac + IPv4Address(told).packed
        return router_mac + mac + b"\x08\x06" + body

    tap.send(reply(2, "203.0.113.2", "203.0.113.50"))
    tap.send(reply(1, "203.0.113.1", "203.0.113.50"))
    tap.send(reply(2, "203.0.113.1", "203.0.113.51"))
    tap.send(reply(2, "203.0.113.1", "203.0.113.50")[:40])
    probing.probe(Gateway(IPv4Address("203.0.113.9"), "qg-0"), OWN4, ("arp",), timeout=0.1)
    assert (await probing.outcome()).gateway.address == ip_address("203.0.113.9")
    tap.send(reply(2, "203.0.113.1", "203.0.113.50"))
    assert (await probing.outcome()).method == "arp"


@on_both_loops
async def test_solicitations_are_as_rfc_4861_section_4_3_asks(probing: Probing) -> None:
    wire = probing.wire
    tap = wire.tap()
    probing.probe(GATEWAY_LINK_LOCAL, LINK_LOCAL, ("arp",))
    frame = await frame_from(tap, wire.mac_of_router(), 0x86DD)
    assert frame[:6] == b"\x33\x33\xff\x00\x00\x01"
    assert frame[21] == 255  # hop limit
    assert frame[22:38] == LINK_LOCAL.ip.packed
    assert frame[38:54] == IPv6Address("ff02::1:ff00:1").packed
    assert frame[54:56] == b"\x87\x00"
    assert frame[62:] == GATEWAY_LINK_LOCAL.address.packed + b"\1\1" + wire.mac_of_router()
    assert (await probing.outcome()).method == "ndp"


@on_both_loops
async def test_the_default_routes_of_a_namespace_are_listed(probing: Probing) -> None:
    wire = probing.wire
    wire.in_router("route", "add", "default", "via", "203.0.113.1")
    wire.in_router("-6", "route", "add", "default", "via", "fe80::1", "dev", "qg-0")
    wire.in_router("-6", "route", "add", "unreachable", "default", "metric", "9999")
    with process_in(wire.router) as process:
        await until(lambda: Path(f"/proc/{process.pid}/comm").read_text() == "sleep\n")
        probing.gateways.list_default_routes("r", process.pid)
        async with asyncio.timeout(LIMIT):
            event = await probing.events.get()
        assert event == DefaultRoutesListed((GATEWAY4, GATEWAY_LINK_LOCAL))
        probing.gateways.list_default_routes("r", Path("/proc", str(process.pid)))
        probing.gateways.stop("r")
        probing.gateways.list_default_routes("s", Path("/proc", str(process.pid)))
        async with asyncio.timeout(LIMIT):
            assert await probing.events.get() == event
        assert probing.events.empty()


@on_both_loops
async def test_nothing_is_forked_and_every_socket_is_closed(probing: Probing) -> None:
    started: list[str] = []
    watching = True

    def hook(event: str, _: object) -> None:
        if watching and event in ("os.fork", "os.posix_spawn", "subprocess.Popen", "os.forkpty"):
            started.append(event)

    sys.addaudithook(hook)
    before = len(os.listdir("/proc/self/fd"))
    for gateway, source in ((GATEWAY4, OWN4), (GATEWAY6, OWN6), (GATEWAY_LINK_LOCAL, LINK_LOCAL)):
        for _ in range(10):
            probing.probe(gateway, source)
            assert (await probing.outcome()).outcome is Outcome.REPLY
    assert len(os.listdir("/proc/self/fd")) > before
    probing.gateways.stop("r")
    await until(lambda: len(os.listdir("/proc/self/fd")) == before)
    watching = False
    assert started == []


@contextlib.contextmanager
def process_in(namespace: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["ip", "netns", "exec", namespace, "sleep", "60"])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < give_up
        await asyncio.sleep(0.005)
