"""The kernel's links and addresses, in real namespaces, under the stock loop and under uvloop."""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import struct
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from pathlib import Path

import pytest
import uvloop
from structlog.testing import capture_logs

from havrrpd.core.messages import (
    AddressAdded,
    AddressRemoved,
    Event,
    KernelListed,
    LinkChanged,
    LinkRemoved,
)
from havrrpd.core.model import IPInterface
from havrrpd.netns import open_inside
from havrrpd.sources.netlink import Netlink

pytestmark = pytest.mark.root

VIP = IPv4Interface("10.0.0.1/24")
VIP6 = IPv6Interface("fd00::1/64")
LIMIT = 10.0  # seconds to wait for an event
Play = Callable[[Callable[["Watcher"], Awaitable[None]]], None]


def ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
    return done.stdout


class Watcher:
    """What was emitted, and what a reader of it knows of each router."""

    def __init__(self, receive_buffer: int) -> None:
        self.netlink = Netlink(self.emit, receive_buffer=receive_buffer)
        self.events: dict[str, list[Event]] = {}
        self.links: dict[str, dict[str, bool]] = {}
        self.addresses: dict[str, set[tuple[str, IPInterface]]] = {}
        self._emitted = asyncio.Event()

    def emit(self, router: str, event: Event) -> None:
        self.events.setdefault(router, []).append(event)
        links = self.links.setdefault(router, {})
        addresses = self.addresses.setdefault(router, set())
        match event:
            case KernelListed():
                self.links[router] = dict(event.links)
                self.addresses[router] = set(event.addresses)
            case LinkChanged(interface, up):
                links[interface] = up
            case LinkRemoved(interface):
                del links[interface]
            case AddressAdded(interface, address):
                addresses.add((interface, address))
            case AddressRemoved(interface, address):
                addresses.remove((interface, address))
        self._emitted.set()

    async def until(self, met: Callable[[], bool]) -> None:
        async with asyncio.timeout(LIMIT):
            while not met():
                self._emitted.clear()
                with suppress(TimeoutError):  # logs and counters change without an event
                    async with asyncio.timeout(0.05):
                        await self._emitted.wait()

    async def heard(self, router: str, event: Event) -> None:
        await self.until(lambda: event in self.events.get(router, []))

    async def holds(self, router: str, addresses: set[tuple[str, IPInterface]]) -> None:
        await self.until(lambda: self.addresses.get(router) == addresses)

    async def listed(self, router: str) -> None:
        await self.until(lambda: any(isinstance(e, KernelListed) for e in self.heard_by(router)))

    def heard_by(self, router: str) -> list[Event]:
        return self.events.get(router, [])


@pytest.fixture(params=["asyncio", "uvloop"])
def play(request: pytest.FixtureRequest) -> Play:
    return player(request.param, 1 << 20)


@pytest.fixture(params=["asyncio", "uvloop"])
def play_with_a_tiny_buffer(request: pytest.FixtureRequest) -> Play:
    return player(request.param, 4096)


def player(loop: str, receive_buffer: int) -> Play:
    factory = uvloop.new_event_loop if loop == "uvloop" else asyncio.new_event_loop

    def run(scene: Callable[[Watcher], Awaitable[None]]) -> None:
        async def main() -> None:
            watcher = Watcher(receive_buffer)
            task = asyncio.create_task(watcher.netlink.run(), name="netlink")
            try:
                await scene(watcher)
                assert not task.done()
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(main())

    return run


@pytest.fixture
def make() -> Iterator[Callable[[], str]]:
    """Makes namespaces with a veth pair: v0 (up, with carrier) and v1."""
    made: list[str] = []

    def namespace() -> str:
        name = f"hv{os.getpid()}-{random.randrange(1 << 24):06x}"
        made.append(name)
        fill(name)
        return name

    yield namespace
    for name in made:
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def fill(name: str) -> None:
    ip("netns", "add", name)
    ip("-n", name, "link", "add", "v0", "type", "veth", "peer", "name", "v1")
    for link in ("v0", "v1"):
        path = f"/proc/sys/net/ipv6/conf/{link}/disable_ipv6"
        ip("netns", "exec", name, "sh", "-c", f"echo 1 > {path}")
        ip("-n", name, "link", "set", link, "up")


def path_of(name: str) -> Path:
    return Path("/run/netns") / name


def truth(name: str) -> set[tuple[str, IPInterface]]:
    return {
        (link["ifname"], ip_interface(f"{info['local']}/{info['prefixlen']}"))
        for link in json.loads(ip("-n", name, "-j", "addr", "show"))
        for info in link.get("addr_info", [])
    }


def leave() -> None:
    """Bring the thread that enters namespaces home: while inside, it keeps one alive."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        open_inside(home, lambda: None)
    finally:
        os.close(home)


class Changer:
    """Adds and removes addresses of a namespace's v0 by the thousand, without `ip`."""

    def __init__(self, name: str) -> None:
        descriptor = os.open(path_of(name), os.O_RDONLY)
        try:
            self._socket = open_inside(descriptor, self._open)
            self._index = open_inside(descriptor, lambda: socket.if_nametoindex("v0"))
        finally:
            os.close(descriptor)
            leave()

    @staticmethod
    def _open() -> socket.socket:
        return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)

    def close(self) -> None:
        self._socket.close()

    def change(self, kind: int, address: IPv4Interface) -> None:
        body = struct.pack("=BBBBI", socket.AF_INET, address.network.prefixlen, 0, 0, self._index)
        body += struct.pack("=HH4sHH4s", 8, 2, address.ip.packed, 8, 1, address.ip.packed)
        self._socket.send(struct.pack("=IHHII", 16 + len(body), kind, 0x405, 1, 0) + body)
        (code,) = struct.unpack_from("=i", self._socket.recv(4096), 16)
        assert code == 0, os.strerror(-code)

    def add(self, address: IPv4Interface) -> None:
        self.change(20, address)

    def remove(self, address: IPv4Interface) -> None:
        self.change(21, address)


@pytest.fixture
def changer(make: Callable[[], str]) -> Iterator[tuple[str, Changer]]:
    name = make()
    made = Changer(name)
    yield name, made
    made.close()


def test_what_is_there_is_listed_and_what_comes_is_followed(
    play: Play, make: Callable[[], str]
) -> None:
    name = make()
    ip("-n", name, "addr", "add", str(VIP), "dev", "v0")

    async def scene(watcher: Watcher) -> None:
        watcher.netlink.watch("r", path_of(name))
        await watcher.listed("r")
        assert watcher.events["r"] == [
            KernelListed({"lo": False, "v0": True, "v1": True}, frozenset({("v0", VIP)}))
        ]
        ip("-n", name, "addr", "del", str(VIP), "dev", "v0")
        await watcher.heard("r", AddressRemoved("v0", VIP))
        ip("-n", name, "link", "set", "lo", "up")
        await watcher.heard("r", LinkChanged("lo", True))
        await watcher.heard("r", AddressAdded("lo", IPv6Interface("::1/128")))
        ip("-n", name, "addr", "add", str(VIP6), "dev", "lo", "nodad")
        await watcher.heard("r", AddressAdded("lo", VIP6))

    play(scene)


def test_a_repeated_address_is_told_once(play: Play, make: Callable[[], str]) -> None:
    name = make()

    async def scene(watcher: Watcher) -> None:
        watcher.netlink.watch("r", path_of(name))
        await watcher.listed("r")
        for _ in range(3):
            ip(
                "-n",
                name,
                "addr",
                "replace",
                str(VIP),
                "dev",
                "v0",
                "valid_lft",
                "900",
                "preferred_lft",
                "900",
            )
        ip("-n", name, "addr", "del", str(VIP), "dev", "v0")
        await watcher.heard("r", AddressRemoved("v0", VIP))
        assert watcher.events["r"][1:] == [AddressAdded("v0", VIP), AddressRemoved("v0", VIP)]

    play(scene)


def test_a_link_whose_peer_is_down_is_down(play: Play, make: Callable[[], str]) -> None:
    name = make()

    async def scene(watcher: Watcher) -> None:
        watcher.netlink.watch("r", path_of(name))
        await watcher.listed("r")
        ip("-n", name, "link", "set", "v1", "down")
        await watcher.heard("r", LinkChanged("v0", False))
        await watcher.heard("r", LinkChanged("v1", False))
        ip("-n", name, "link", "set", "v1", "up")
        await watcher.until(lambda: watcher.links["r"]["v0"] and watcher.links["r"]["v1"])

    play(scene)


def test_a_renamed_link_and_a_removed_one_are_told(play: Play, make: Callable[[], str]) -> None:
    name = make()
    ip("-n", name, "addr", "add", str(VIP), "dev", "v0")

    async def scene(watcher: Watcher) -> None:
        watcher.netlink.watch("r", path_of(name))
        await watcher.listed("r")
        ip("-n", name, "link", "set", "v0", "down")
        ip("-n", name, "link", "set", "v0", "name", "ha-0")
        await watcher.until(lambda: watcher.addresses["r"] == {("ha-0", VIP)})
        assert set(watcher.links["r"]) == {"lo", "ha-0", "v1"}
        ip("-n", name, "link", "del", "ha-0")
        await watcher.heard("r", AddressRemoved("ha-0", VIP))
        await watcher.heard("r", LinkRemoved("ha-0"))
        await watcher.heard("r", LinkRemoved("v1"))
        assert watcher.links["r"] == {"lo": False}

    play(scene)


def test_two_routers_of_one_namespace_hear_the_same(play: Play, make: Callable[[], str]) -> None:
    name, other = make(), make()

    async def scene(watcher: Watcher) -> None:
        for router, where in (("a", name), ("b", name), ("c", other)):
            watcher.netlink.watch(router, path_of(where))
            await watcher.listed(router)
        ip("-n", name, "addr", "add", str(VIP), "dev", "v0")
        await watcher.heard("a", AddressAdded("v0", VIP))
        await watcher.heard("b", AddressAdded("v0", VIP))
        watcher.netlink.unwatch("a")
        ip("-n", name, "addr", "del", str(VIP), "dev", "v0")
        await watcher.heard("b", AddressRemoved("v0", VIP))
        assert watcher.addresses["a"] == {("v0", VIP)}
        assert watcher.addresses["c"] == set()

    play(scene)


def test_after_an_overrun_the_state_is_right_and_the_reader_lives(
    play_with_a_tiny_buffer: Play, changer: tuple[str, Changer]
) -> None:
    name, addresses = changer
    many = [IPv4Interface(f"10.{i >> 8}.{i & 255}.1/32") for i in range(2000)]

    async def scene(watcher: Watcher) -> None:
        watcher.netlink.watch("r", path_of(name))
        await watcher.listed("r")
        for address in many:
            addresses.add(address)
        for address in many[::2]:
            addresses.remove(address)
        expected = {("v0", address) for address in many[1::2]}
        await watcher.until(lambda: watcher.addresses["r"] == expected)
        assert watcher.netlink.overruns >= 1
        ip("-n", name, "addr", "add", str(VIP), "dev", "v0")
        await watcher.heard("r", AddressAdded("v0", VIP))

    play_with_a_tiny_buffer(scene)


def test_listing_while_addresses_come_and_go_ends_at_the_truth(
    play: Play, changer: tuple[str, Changer]
) -> None:
    name, addresses = changer
    pool = [IPv4Interface(f"10.0.{i}.1/32") for i in range(40)]

    def churn(seed: int) -> None:
        chosen, present = random.Random(seed), set[IPv4Interface]()
        for address in (chosen.choice(pool) for _ in range(3000)):
            if address in present:
                addresses.remove(address)
            else:
                addresses.add(address)
            present ^= {address}

    async def scene(watcher: Watcher) -> None:
        seed = random.randrange(1 << 32)
        print(f"seed {seed}")
        watcher.netlink.watch("r", path_of(name))
        churning = asyncio.get_running_loop().run_in_executor(None, churn, seed)
        while not churning.done():
            watcher.netlink.relist("r")
            await asyncio.sleep(0)
        await churning
        expected = truth(name)
        await watcher.until(lambda: watcher.addresses["r"] == expected)
        assert sum(isinstance(event, KernelListed) for event in watcher.events["r"]) > 3
        assert watcher.netlink.overruns == 0

    play(scene)


def test_a_watched_namespace_vanishes_when_it_is_deleted_and_is_found_when_made_again(
    play: Play, make: Callable[[], str]
) -> None:
    name, outside = make(), make()
    ip("-n", outside, "link", "add", "far", "type", "veth", "peer", "name", "near")
    ip("-n", outside, "link", "set", "near", "netns", name)

    async def scene(watcher: Watcher) -> None:
        watcher.netlink.watch("r", path_of(name))
        watcher.netlink.watch("o", path_of(outside))
        await watcher.listed("r")
        await watcher.listed("o")
        ip("netns", "del", name)
        await watcher.heard("o", LinkRemoved("far"))  # nothing of ours kept it alive
        await watcher.heard("r", KernelListed({}, frozenset()))
        fill(name)
        ip("-n", name, "addr", "add", str(VIP), "dev", "v0")
        watcher.netlink.watch("r", path_of(name))
        await watcher.until(lambda: watcher.addresses["r"] == {("v0", VIP)})
        ip("-n", name, "addr", "add", str(VIP6), "dev", "lo", "nodad")
        await watcher.heard("r", AddressAdded("lo", VIP6))

    play(scene)


def test_a_namespace_number_with_a_new_owner_is_not_mistaken_for_the_old_one(
    play: Play, make: Callable[[], str]
) -> None:
    async def scene(watcher: Watcher) -> None:
        for turn in range(5):
            old = make()
            ip("-n", old, "addr", "add", str(VIP), "dev", "v0")
            watcher.netlink.watch("old", path_of(old))
            await watcher.holds("old", {("v0", VIP)})
            ip("netns", "del", old)
            new = make()
            address = IPv4Interface(f"10.9.{turn}.1/24")
            ip("-n", new, "addr", "add", str(address), "dev", "v0")
            watcher.netlink.watch("new", path_of(new))
            await watcher.holds("new", {("v0", address)})
            await watcher.until(lambda: watcher.links["old"] == {})
            ip("-n", new, "addr", "del", str(address), "dev", "v0")
            await watcher.heard("new", AddressRemoved("v0", address))
            assert watcher.addresses["old"] == set()

    play(scene)


def test_a_namespace_that_lost_its_name_is_followed_while_it_lives(
    play: Play, make: Callable[[], str]
) -> None:
    name = make()
    ip("-n", name, "addr", "add", str(VIP), "dev", "v0")
    changer = Changer(name)  # its socket keeps the namespace alive

    async def scene(watcher: Watcher) -> None:
        watcher.netlink.watch("r", path_of(name))
        await watcher.listed("r")
        ip("netns", "del", name)
        watcher.netlink.relist("r")
        await watcher.until(lambda: len(watcher.events["r"]) == 2)
        assert watcher.addresses["r"] == {("v0", VIP)}
        changer.remove(VIP)
        await watcher.heard("r", AddressRemoved("v0", VIP))
        changer.close()
        await watcher.until(lambda: watcher.links["r"] == {})

    try:
        play(scene)
    finally:
        changer.close()


def test_watching_what_is_not_there_makes_nothing_and_finds_it_when_it_comes(
    play: Play, make: Callable[[], str]
) -> None:
    name = make()
    ip("netns", "del", name)

    async def scene(watcher: Watcher) -> None:
        with capture_logs() as logs:
            watcher.netlink.watch("r", path_of(name))
            await watcher.until(lambda: bool(logs))
        assert [entry["event"] for entry in logs] == ["namespace.listing_failed"]
        assert not path_of(name).exists()
        assert watcher.heard_by("r") == []
        fill(name)
        await watcher.until(lambda: "v0" in watcher.links.get("r", {}))

    play(scene)


def test_a_file_that_is_no_namespace_is_refused_and_left_alone(play: Play, tmp_path: Path) -> None:
    file = tmp_path / "qrouter-leftover"
    file.write_text("")

    async def scene(watcher: Watcher) -> None:
        with capture_logs() as logs:
            watcher.netlink.watch("r", file)
            await watcher.until(lambda: bool(logs))
        assert logs[0]["error"] == "[Errno 22] Invalid argument"
        assert watcher.heard_by("r") == []
        assert file.read_text() == ""

    play(scene)


OWN_NAMESPACE = """
import asyncio, os, subprocess, sys, uvloop
from pathlib import Path
from havrrpd.sources.netlink import Netlink

async def main():
    heard = asyncio.Queue()
    netlink = Netlink(lambda router, event: heard.put_nowait(f"{router} {event}"))
    netlink.watch("own", Path(f"/proc/{os.getpid()}/ns/net"))
    task = asyncio.create_task(netlink.run())
    print(await asyncio.wait_for(heard.get(), 10))
    subprocess.run(["ip", "addr", "add", "10.0.0.1/24", "dev", "lo"], check=True)
    print(await asyncio.wait_for(heard.get(), 10))
    task.cancel()

with asyncio.Runner(loop_factory=uvloop.new_event_loop if "uvloop" in sys.argv else None) as runner:
    runner.run(main())
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_the_namespace_that_it_runs_in_is_followed_too(loop: str) -> None:
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", OWN_NAMESPACE, loop],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        cwd=Path(__file__).parents[2],
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "own KernelListed(links={'lo': False}, addresses=frozenset())",
        "own AddressAdded(interface='lo', address=IPv4Interface('10.0.0.1/24'))",
    ]
