"""Adverts of real keepalived processes in two namespaces, as the source tells of them."""

from __future__ import annotations

import asyncio
import functools
import os
import secrets
import signal
import socket
import struct
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from typing import ParamSpec

import pytest
import uvloop
from msgspec.structs import replace
from structlog.testing import capture_logs

from havrrpd.core.messages import AdvertHeard, AdvertSent, Event, WireWatched
from havrrpd.core.model import InstanceConfig
from havrrpd.core.node import Oddity
from havrrpd.netns import open_inside
from havrrpd.sources.adverts import Adverts
from havrrpd.sources.adverts.source import REST
from tests.collected import nothing_waits_for_the_garbage_collector

pytestmark = pytest.mark.root

LIMIT = 15.0
ROUTER = "router"
SENDER_A, SENDER_B = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")


P = ParamSpec("P")


def on_uvloop(test: Callable[P, Coroutine[None, None, None]]) -> Callable[P, None]:
    """Run the test on the loop that the daemon runs on."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        uvloop.run(test(*args, **kwargs))

    return run


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=LIMIT)


@dataclass
class Pair:
    """Two namespaces joined by a veth pair that is named ha0 in both."""

    tmp: Path
    a: str = field(default_factory=lambda: f"hva{os.getpid()}{secrets.token_hex(3)}")
    b: str = field(default_factory=lambda: f"hvb{os.getpid()}{secrets.token_hex(3)}")
    keepalived: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def join(self) -> None:
        # "nodad": an IPv6 link-local address that is usable at once.
        ip("link", "add", "ha0", "netns", self.a, "type", "veth", "peer", "ha0", "netns", self.b)
        for name, address in ((self.a, SENDER_A), (self.b, SENDER_B)):
            ip("-n", name, "address", "add", f"{address}/24", "dev", "ha0")
            link_local = f"fe80::{str(address).rpartition('.')[2]}/64"
            ip("-n", name, "link", "set", "ha0", "addrgenmode", "none")
            ip("-n", name, "address", "add", link_local, "dev", "ha0", "nodad")
            ip("-n", name, "link", "set", "ha0", "up")

    def path(self, name: str) -> Path:
        return Path("/run/netns") / name

    def start(self, name: str, priority: int, **what: str) -> None:
        """Start a real keepalived in the namespace; it is MASTER soon, unless a peer is better."""
        folder = self.tmp / name
        folder.mkdir(exist_ok=True)
        (folder / "keepalived.conf").write_text(keepalived_conf(priority, **what))
        command = f"ip netns exec {name} /usr/sbin/keepalived -n -P -l"
        files = f"-f {folder}/keepalived.conf -p {folder}/pid -r {folder}/vrrp"
        with (folder / "log").open("ab") as log:
            self.keepalived[name] = subprocess.Popen(
                f"{command} {files}".split(), stdout=log, stderr=log
            )

    def stop(self, name: str) -> None:
        process = self.keepalived.pop(name)
        process.send_signal(signal.SIGTERM)
        process.wait(LIMIT)


def keepalived_conf(
    priority: int,
    version: str = "2",
    address: str = "198.51.100.1/32",
    more: str = "",
    interval: str = "1",
) -> str:
    return f"""
global_defs {{
    vrrp_garp_master_repeat 1
}}
vrrp_instance VR_7 {{
    state BACKUP
    interface ha0
    virtual_router_id 7
    version {version}
    priority {priority}
    advert_int {interval}
    {more}
    virtual_ipaddress {{
        {address} dev ha0
    }}
}}
"""


@contextmanager
def pair_of_namespaces(tmp: Path) -> Iterator[Pair]:
    pair = Pair(tmp)
    made = []
    try:
        for name in (pair.a, pair.b):
            ip("netns", "add", name)
            made.append(name)
            ip("-n", name, "link", "set", "lo", "up")
        pair.join()
        yield pair
    finally:
        for name in list(pair.keepalived):
            pair.stop(name)
        for name in made:
            with suppress(subprocess.CalledProcessError):  # a test may have removed it
                ip("netns", "delete", name)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with pair_of_namespaces(tmp_path) as pair:
        yield pair


@dataclass
class Ear:
    """A running source and what it emitted, to wait for."""

    adverts: Adverts = field(init=False)
    events: list[Event] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.adverts = Adverts(self._hear)

    def _hear(self, router: str, event: Event) -> None:
        assert router == ROUTER
        self.events.append(event)
        self._news.set()

    async def until(self, wanted: Callable[[Event], bool]) -> Event:
        """The first event that is wanted, taken with all that came before it."""
        async with asyncio.timeout(LIMIT):
            while True:
                for index, event in enumerate(self.events):
                    if wanted(event):
                        del self.events[: index + 1]
                        return event
                self._news.clear()
                await self._news.wait()

    async def until_heard_in_spite_of_loss(self, send: Callable[[], None], priority: int) -> None:
        """Repeat an advert that a full buffer may have lost, until it is heard."""
        for _ in range(100):
            send()
            with suppress(TimeoutError):
                async with asyncio.timeout(LIMIT / 100):
                    await self.until(is_heard(priority))
                    return
        pytest.fail("never heard")


@asynccontextmanager
async def listening(
    pair: Pair, *instances: InstanceConfig, namespace: str | None = None
) -> AsyncIterator[Ear]:
    ear = Ear()
    task = asyncio.create_task(ear.adverts.run())
    ear.adverts.watch(ROUTER, pair.path(namespace or pair.a), instances or (VR_7,))
    try:
        yield ear
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


VR_7 = InstanceConfig("VR_7", 7, "ha0")


def is_sent(priority: int) -> Callable[[Event], bool]:
    return lambda event: isinstance(event, AdvertSent) and event.priority == priority


def is_heard(priority: int) -> Callable[[Event], bool]:
    return lambda event: isinstance(event, AdvertHeard) and event.priority == priority


def is_watched(event: Event) -> bool:
    return event == WireWatched(True)


def is_deaf(event: Event) -> bool:
    return event == WireWatched(False)


KINDS: dict[str, tuple[dict[str, str], str, float]] = {
    "v2": ({}, "192.0.2", 1.0),
    "v2_pass": ({"more": "authentication {\n auth_type PASS\n auth_pass secret\n }"}, "192.0.2", 1),
    "v2_ah": ({"more": "authentication {\n auth_type AH\n auth_pass secret\n }"}, "192.0.2", 1),
    "v3_ipv4": ({"version": "3", "interval": "0.25"}, "192.0.2", 0.25),
    "v3_ipv6": ({"version": "3", "interval": "0.25", "address": "fe80::7/64"}, "fe80:", 0.25),
    "unicast": ({}, "192.0.2", 1),
    "v3_unicast_ipv6": ({"version": "3", "address": "fe80::7/64"}, "fe80:", 1),
}


def what(kind: str, peer: str) -> dict[str, str]:
    """The configuration of a kind of advert, towards the peer with this last part of an address."""
    words, network, _ = KINDS[kind]
    if "unicast" not in kind:
        return words
    separator = ":" if network.endswith(":") else "."
    return {**words, "more": f"unicast_peer {{\n {network}{separator}{peer}\n }}"}


@pytest.mark.parametrize("kind", KINDS)
@on_uvloop
async def test_own_and_peers_adverts_are_told_apart(pair: Pair, kind: str) -> None:
    _, network, advert_int = KINDS[kind]
    separator = ":" if network.endswith(":") else "."
    own, peer = (ip_address(f"{network}{separator}{last}") for last in "12")
    peers = (peer,) if "unicast" in kind else ()
    version = 3 if kind.startswith("v3") else 2
    instance = replace(VR_7, version=version, unicast_peers=peers)
    async with listening(pair, instance) as ear:
        await ear.until(is_watched)
        pair.start(pair.a, 100, **what(kind, "2"))
        assert await ear.until(is_sent(100)) == AdvertSent("ha0", 7, own, 100)
        pair.start(pair.b, 200, **what(kind, "1"))
        assert await ear.until(is_heard(200)) == AdvertHeard("ha0", 7, peer, 200, advert_int)
        pair.stop(pair.b)
        assert await ear.until(is_heard(0)) == AdvertHeard("ha0", 7, peer, 0, advert_int)
        (odd,) = ear.adverts.oddities.all()[ROUTER]  # VR_7 here has no address and no interval
        assert (odd.source, Oddity.VIRTUAL_ADDRESSES in odd.oddities) == (peer, True)
        await ear.until(is_sent(100))
        pair.stop(pair.a)
        assert await ear.until(is_sent(0)) == AdvertSent("ha0", 7, own, 0)
        assert +ear.adverts.rejected == {}


@on_uvloop
async def test_adverts_of_a_virtual_mac_are_heard_on_the_parent(pair: Pair) -> None:
    async with listening(pair) as sender, listening(pair, namespace=pair.b) as hearer:
        await sender.until(is_watched)
        await hearer.until(is_watched)
        pair.start(pair.a, 100, more="use_vmac vmac7\n vmac_xmit_base")
        assert await sender.until(is_sent(100)) == AdvertSent("ha0", 7, SENDER_A, 100)
        assert await hearer.until(is_heard(100)) == AdvertHeard("ha0", 7, SENDER_A, 100, 1.0)
        pair.stop(pair.a)
        await sender.until(is_sent(0))
        pair.start(pair.a, 90, more="use_vmac vmac7")
        assert await sender.until(is_sent(90)) == AdvertSent("ha0", 7, SENDER_A, 90)
        assert await hearer.until(is_heard(90)) == AdvertHeard("ha0", 7, SENDER_A, 90, 1.0)


# --- packets made by hand ---


def checksum(data: bytes) -> bytes:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~total & 0xFFFF)


def advert(vrid: int = 7, priority: int = 150, good: bool = True) -> bytes:
    """A VRRPv2 advert in its IPv4 packet."""
    message = bytes([0x21, vrid, priority, 1, 0, 1, 0, 0]) + bytes([198, 51, 100, 1]) + bytes(8)
    total = checksum(message) if good else b"\xde\xad"
    message = message[:6] + total + message[8:]
    header = struct.pack("!BBHHHBBH", 0x45, 0xC0, 20 + len(message), 0, 0, 255, 112, 0)
    header += SENDER_B.packed + IPv4Address("224.0.0.18").packed
    return header[:10] + checksum(header) + header[12:] + message


MULTICAST = bytes.fromhex("01005e000012")
ELSEWHERE = bytes.fromhex("020000000099")
IPV4 = b"\x08\x00"


@contextmanager
def sender(pair: Pair) -> Iterator[Callable[..., None]]:
    """Sends packets from namespace b as they are; each is in the peer's socket when it returns."""

    def opened() -> socket.socket:
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        raw.bind(("ha0", 0))
        return raw

    netns = os.open(pair.path(pair.b), os.O_RDONLY)
    try:
        raw = open_inside(netns, opened)
    finally:
        os.close(netns)
    with raw:

        def send(packet: bytes, to: bytes = MULTICAST, kind: bytes = IPV4) -> None:
            raw.send(to + bytes.fromhex("020000000002") + kind + packet)

        yield send


async def narrow(ear: Ear, send: Callable[..., None]) -> None:
    """Bring the tap to the point where it passes the own VRIDs only."""
    for _ in range(16):
        send(advert(vrid=8))
    send(advert(priority=201))
    await ear.until(is_heard(201))
    assert +ear.adverts.rejected == {"foreign_vrid": 16}


@on_uvloop
async def test_each_kind_of_garbage_is_counted_and_none_is_emitted(pair: Pair) -> None:
    async with listening(pair) as ear:
        await ear.until(is_watched)
        with sender(pair) as send:
            send(advert()[:26])
            send(advert(good=False))
            send(advert(vrid=8))
            send(advert())
        assert await ear.until(lambda _: True) == AdvertHeard("ha0", 7, SENDER_B, 150, 1.0)
        assert +ear.adverts.rejected == {"short": 1, "checksum": 1, "foreign_vrid": 1}


async def until_rejected(ear: Ear, reason: str) -> None:
    async with asyncio.timeout(LIMIT):
        while not ear.adverts.rejected[reason]:
            await asyncio.to_thread(os.sched_yield)


@on_uvloop
async def test_what_keepalived_would_not_obey_is_counted_and_own_adverts_never_are(
    pair: Pair,
) -> None:
    other = replace(VR_7, version=3)
    async with listening(pair, other) as ear, listening(pair, other, namespace=pair.b) as own:
        await ear.until(is_watched)
        await own.until(is_watched)
        with sender(pair) as send:
            send(advert())
            await until_rejected(ear, "version")
        (odd,) = ear.adverts.oddities.all()[ROUTER]
        assert (odd.source, odd.oddities) == (SENDER_B, {Oddity.VERSION})
        assert await own.until(is_sent(150)) == AdvertSent("ha0", 7, SENDER_B, 150)
        assert not any(isinstance(event, AdvertHeard) for event in ear.events)
        assert +own.adverts.rejected == {}


@on_uvloop
async def test_the_kernel_keeps_back_what_belongs_to_others(pair: Pair) -> None:
    async with listening(pair) as ear:
        await ear.until(is_watched)
        with sender(pair) as send:
            send(advert(priority=1), kind=b"\x81\x00\x00\x64\x08\x00")  # VLAN 100
            send(advert(priority=2), to=ELSEWHERE)  # unicast that a switch floods
            send(advert(priority=3)[:9] + b"\x11" + advert()[10:])  # UDP
            send(bytes(60), kind=b"\x08\x06")  # ARP
            send(advert(priority=4))
        assert await ear.until(lambda _: True) == AdvertHeard("ha0", 7, SENDER_B, 4, 1.0)
        assert +ear.adverts.rejected == {}


@on_uvloop
async def test_a_flood_of_foreign_adverts_is_held_back_by_the_kernel(pair: Pair) -> None:
    async with listening(pair) as ear:
        await ear.until(is_watched)
        with sender(pair) as send:
            await narrow(ear, send)
            for _ in range(1000):
                send(advert(vrid=8))
            send(advert(priority=151))
            await ear.until(is_heard(151))
            assert +ear.adverts.rejected == {"foreign_vrid": 16}
            ear.adverts.watch(ROUTER, pair.path(pair.a), (InstanceConfig("VR_8", 8, "ha0"),))
            send(advert(vrid=8, priority=152))
            await ear.until(is_heard(152))


@pytest.mark.parametrize("kind", ["v2", "v2_ah", "v3_ipv4", "v3_ipv6"])
@on_uvloop
async def test_own_adverts_pass_the_narrowed_filter(pair: Pair, kind: str) -> None:
    async with listening(pair) as ear:
        await ear.until(is_watched)
        with sender(pair) as send:
            await narrow(ear, send)
        pair.start(pair.a, 100, **what(kind, "2"))
        await ear.until(is_sent(100))


@on_uvloop
async def test_a_flood_of_garbage_starves_nobody_and_all_of_it_is_counted(pair: Pair) -> None:
    longest = 0.0
    bad = advert(good=False)
    async with listening(pair) as ear:
        await ear.until(is_watched)
        with sender(pair) as send:
            for _ in range(100):
                for _ in range(100):
                    send(bad)
                began = time.monotonic()
                await asyncio.sleep(0)
                longest = max(longest, time.monotonic() - began)
            await ear.until_heard_in_spite_of_loss(lambda: send(advert(priority=77)), 77)
        rejected = ear.adverts.rejected
        ear.adverts.unwatch(ROUTER)  # the last look at what the kernel dropped
        assert rejected["checksum"] > 1000
        assert rejected["checksum"] + rejected["overrun"] >= 10000
    assert longest < 0.25


@pytest.mark.parametrize(("advert_int", "rest", "apart"), [(1.0, REST, 0.002), (0.01, 0.01, 0.001)])
@on_uvloop
async def test_adverts_are_read_together_but_none_so_late_that_its_sender_seems_silent(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, advert_int: float, rest: float, apart: float
) -> None:
    looks = 0
    look = Adverts._drain_ready

    def counted(adverts: Adverts, now: float) -> bool:
        nonlocal looks
        looks += 1
        return look(adverts, now)

    monkeypatch.setattr(Adverts, "_drain_ready", counted)
    async with listening(pair, replace(VR_7, advert_int=advert_int)) as ear:
        await ear.until(is_watched)
        with sender(pair) as send:
            looks, began = 0, time.monotonic()
            for priority in range(1, 201):
                send(advert(priority=priority))
                await asyncio.sleep(apart)  # as on a wire
            await ear.until(is_heard(200))
            rests = (time.monotonic() - began) / rest
        assert rests / 3 <= looks <= rests + 3  # the first, one under way, a tick


@asynccontextmanager
async def resting(pair: Pair) -> AsyncIterator[tuple[Ear, Callable[..., None]]]:
    """A source that has just read what there was."""
    async with listening(pair) as ear:
        await ear.until(is_watched)
        with sender(pair) as send:
            send(advert())
            await ear.until(is_heard(150))
            await some_turns()
            yield ear, send


async def some_turns() -> None:
    """Of the loop: far less time than until the next tick."""
    for _ in range(10):
        await asyncio.sleep(0)


@on_uvloop
async def test_what_came_in_is_heard_at_once_when_something_followed_from_it(pair: Pair) -> None:
    async with resting(pair) as (ear, send):
        send(advert(priority=0))
        ear.adverts.hear()
        assert [event for event in ear.events if is_heard(0)(event)]


# --- interfaces and namespaces that come and go ---


@on_uvloop
async def test_an_interface_that_goes_down_is_lost_and_heard_again_when_up(pair: Pair) -> None:
    async with listening(pair) as ear:
        await ear.until(is_watched)
        ip("-n", pair.a, "link", "set", "ha0", "down")
        await ear.until(is_deaf)
        ip("-n", pair.a, "link", "set", "ha0", "up")
        ear.adverts.refresh(ROUTER)
        await ear.until(is_watched)
        with sender(pair) as send:
            send(advert())
        await ear.until(is_heard(150))


@on_uvloop
async def test_an_interface_that_is_found_down_as_it_is_asked_is_lost_at_once(pair: Pair) -> None:
    async with resting(pair) as (ear, _):
        ip("-n", pair.a, "link", "set", "ha0", "down")
        ear.adverts.hear()
        await some_turns()
        assert any(is_deaf(event) for event in ear.events)


@on_uvloop
async def test_an_interface_made_again_is_heard_again_without_being_told(pair: Pair) -> None:
    async with listening(pair) as ear:
        await ear.until(is_watched)
        ip("-n", pair.a, "link", "delete", "ha0")
        await ear.until(is_deaf)
        pair.join()
        await ear.until(is_watched)
        with sender(pair) as send:
            send(advert())
        await ear.until(is_heard(150))


@on_uvloop
async def test_an_interface_that_was_renamed_away_is_noticed_on_refresh(pair: Pair) -> None:
    async with listening(pair) as ear:
        await ear.until(is_watched)
        ip("-n", pair.a, "link", "set", "ha0", "name", "old0")
        ear.adverts.refresh(ROUTER)
        await ear.until(is_deaf)


@on_uvloop
async def test_an_interface_that_is_not_there_yet_is_heard_once_it_is(pair: Pair) -> None:
    ip("-n", pair.a, "link", "delete", "ha0")
    async with listening(pair) as ear:
        await ear.until(is_deaf)
        pair.join()
        ear.adverts.refresh(ROUTER)
        await ear.until(is_watched)


@on_uvloop
async def test_a_removed_namespace_is_let_go_of_and_a_new_one_of_its_name_is_heard(
    pair: Pair,
) -> None:
    async with listening(pair) as ear, listening(pair, namespace=pair.b) as peer:
        await ear.until(is_watched)
        await peer.until(is_watched)
        ip("netns", "delete", pair.a)
        await ear.until(is_deaf)
        await peer.until(is_deaf)  # its end of the pair is gone too: our socket keeps nothing alive
        ip("netns", "add", pair.a)
        pair.join()
        ear.adverts.refresh(ROUTER)
        await ear.until(is_watched)


@on_uvloop
async def test_a_reload_opens_new_interfaces_and_keeps_the_others(pair: Pair) -> None:
    async with listening(pair) as ear:
        await ear.until(is_watched)
        other = InstanceConfig("VR_9", 9, "ha1")
        ear.adverts.watch(ROUTER, pair.path(pair.a), (VR_7, other))
        await ear.until(is_deaf)
        with sender(pair) as send:
            send(advert())
        await ear.until(is_heard(150))
        ip("-n", pair.a, "link", "add", "ha1", "type", "veth", "peer", "ha2")
        ip("-n", pair.a, "link", "set", "ha1", "up")
        ip("-n", pair.a, "link", "set", "ha2", "up")
        ear.adverts.refresh(ROUTER)
        await ear.until(is_watched)
        ear.adverts.watch(ROUTER, pair.path(pair.a), (other,))
        await ear.until(is_watched)
        with sender(pair) as send:
            send(advert())
            ear.adverts.watch(ROUTER, pair.path(pair.a), (VR_7,))
            await ear.until(is_watched)
            send(advert(priority=151))
        assert await ear.until(lambda _: True) == AdvertHeard("ha0", 7, SENDER_B, 151, 1.0)


@on_uvloop
async def test_an_unwatched_router_is_silent(pair: Pair) -> None:
    async with listening(pair) as ear:
        await ear.until(is_watched)
        with sender(pair) as send:
            ear.adverts.unwatch(ROUTER)
            send(advert())
            ear.adverts.watch(ROUTER, pair.path(pair.a), (VR_7,))
            await ear.until(is_watched)
            send(advert(priority=151))
        assert await ear.until(lambda _: True) == AdvertHeard("ha0", 7, SENDER_B, 151, 1.0)


@on_uvloop
async def test_of_an_unwatched_router_nothing_waits_for_the_garbage_collector(pair: Pair) -> None:
    async with listening(pair) as ear:
        await ear.until(is_watched)
        with nothing_waits_for_the_garbage_collector():
            ear.adverts.unwatch(ROUTER)
            ear.adverts.watch(ROUTER, pair.path(pair.a), (VR_7,))
            await ear.until(is_watched)
            ear.adverts.unwatch(ROUTER)


@on_uvloop
async def test_a_deaf_reader_does_not_matter_for_longer_than_a_second(pair: Pair) -> None:
    async with listening(pair) as ear:
        await ear.until(is_watched)
        asyncio.get_running_loop().remove_reader(ear.adverts._gate.fileno())
        with sender(pair) as send:
            began = time.monotonic()
            send(advert())
            await ear.until(is_heard(150))
        assert time.monotonic() - began < 1.5


@on_uvloop
async def test_garbage_is_logged_once_a_minute_for_each_reason(pair: Pair) -> None:
    with capture_logs() as logs:
        async with listening(pair) as ear:
            await ear.until(is_watched)
            with sender(pair) as send:
                for _ in range(5):
                    send(advert(good=False))
                    send(advert(vrid=8))
                send(advert())
            await ear.until(is_heard(150))
    facts = {"router": ROUTER, "interface": "ha0", "source": str(SENDER_B)}
    assert [log for log in logs if log["event"] == "advert.rejected"] == [
        {"event": "advert.rejected", "log_level": "warning", "reason": "checksum", **facts},
        {"event": "advert.rejected", "log_level": "debug", "reason": "foreign_vrid", **facts},
    ]
