"""/events on real sockets: what is told, how soon, how often, and to whom no more."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec.structs import replace

from havrrpd.core.history import History
from havrrpd.core.model import GatewayCheck, Problem, Router, State, Verdict
from havrrpd.core.node import Node, OddAdvert, Oddity
from havrrpd.views.changes import Changes
from havrrpd.views.status import head, plain_router
from havrrpd.views.web import events
from havrrpd.views.web.app import read_only_app
from havrrpd.views.web.door import Admission, Door
from havrrpd.views.web.limits import Limits, Refusal
from tests.answering import answering_tcp, eventually, on_uvloop
from tests.integration.test_openapi import BUSY, CHECKS, NODE, promote

LIMIT = 5.0
Told = tuple[str, Any]


class Live:
    """A node that a test changes, as the daemon does, and its clients."""

    port: int
    door: Door

    def __init__(self) -> None:
        self.changes = Changes()
        self.node = replace(NODE, history=History())
        self._began = asyncio.get_running_loop().time()

    def snapshot(self) -> Node:
        passed = asyncio.get_running_loop().time() - self._began
        now, wall_now = NODE.now + passed, NODE.wall_now + passed
        return replace(self.node, now=now, wall_now=wall_now, routers=dict(self.node.routers))

    def step(self, router: Router) -> None:
        self.node = replace(self.node, routers={**self.node.routers, router.id: router})
        self.changes.mark(router.id)

    def remove(self, router: str) -> None:
        left = {name: r for name, r in self.node.routers.items() if name != router}
        self.node = replace(self.node, routers=left)
        self.changes.mark(router)

    def promote(self) -> None:
        promote(self.node.history)
        self.changes.mark(BUSY.id)


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def block(self) -> bytes:
        """Up to the next empty line, out of its chunks."""
        async with asyncio.timeout(LIMIT):
            found = b""
            while not found.endswith(b"\n\n"):
                line = await self._reader.readline()
                if not line:
                    raise EOFError
                is_size = line.endswith(b"\r\n")
                found += b"" if is_size else line
            return found

    async def event(self) -> Told:
        name, data = (await self.block()).decode().rstrip("\n").split("\n")
        assert name.startswith("event: ")
        assert data.startswith("data: ")
        return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))

    async def is_over(self) -> bool:
        async with asyncio.timeout(LIMIT):
            return (await self._reader.readuntil(b"0\r\n\r\n")).endswith(b"\r\n")

    def close(self) -> None:
        self._writer.close()


@asynccontextmanager
async def live(limits: Limits | None = None) -> AsyncIterator[Live]:
    served = Live()
    app = read_only_app(served.snapshot, served.changes)
    async with answering_tcp(app, Admission(limits or Limits())) as (served.port, served.door):
        yield served


@asynccontextmanager
async def following(served: Live) -> AsyncIterator[Client]:
    """A client that was told the first things."""
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    client = Client(reader, writer)
    try:
        writer.write(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
        headers = await reader.readuntil(b"\r\n\r\n")
        assert headers.startswith(b"HTTP/1.1 200 OK")
        assert b"Content-Type: text/event-stream\r\n" in headers
        assert b"Cache-Control: no-store\r\n" in headers
        assert await client.block() == b"retry: 1000\n\n"
        name, data = await client.event()
        assert (name, data["node"]) == ("node", "network1")
        yield client
    finally:
        writer.close()


def as_json(value: object) -> Any:
    return json.loads(json.dumps(value))


@on_uvloop
async def test_a_client_is_told_of_routers_transitions_and_the_node() -> None:
    async with live() as served, following(served) as client:
        served.step(replace(BUSY, problems=frozenset()))
        name, data = await client.event()
        expected = as_json(plain_router(served.snapshot(), "a"))
        for seen in (data, expected):
            for instance in seen["instances"]:
                del instance["masters_heard"]  # they have the time in them
            del seen["odd_adverts"]
        assert (name, data) == ("router", expected)
        name, data = await client.event()  # there is a problem less
        assert name == "node"
        assert data["summary"] == as_json(head(served.snapshot())["summary"])
        served.promote()
        name, data = await client.event()
        assert (name, data["id"], data["cause"]) == ("transition", 1, "peer_resigned")
        served.remove("a")
        assert await client.event() == ("router_removed", {"router": "a"})
        assert (await client.event())[1]["summary"]["routers"] == 1
        served.node = replace(served.node, draining=True)  # no step brings it
        name, data = await client.event()
        assert (name, data["draining"]) == ("node", True)


@on_uvloop
async def test_what_is_stepped_is_told_at_once() -> None:
    async with asyncio.timeout(2.5), live() as served, following(served) as client:
        for pid in range(5):  # to look at all of them takes a second each time
            served.step(replace(BUSY, pid=pid))
            assert (await client.event())[1]["pid"] == pid


@on_uvloop
async def test_a_router_comes_before_the_transitions_that_made_it_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with live() as served, following(served) as client:

        def becomes_master_meanwhile(node: Node, router: str) -> object:
            document = plain_router(node, router)
            if router == "b":
                served.step(replace(BUSY, pid=2))
                served.promote()
            return document

        monkeypatch.setattr(events, "plain_router", becomes_master_meanwhile)
        served.step(replace(NODE.routers["b"], pid=1))
        seen: list[Told] = []
        while len(seen) < 3:
            name, data = await client.event()
            if name != "node":
                seen.append((name, data.get("pid")))
        assert seen == [("router", 1), ("router", 2), ("transition", None)]


@on_uvloop
async def test_of_many_changes_every_router_comes_before_the_transitions() -> None:
    async with live() as served, following(served) as client:
        for number in range(120):
            served.step(replace(BUSY, id=f"{number}"))
            served.promote()
        names = [(await client.event())[0] for _ in range(120 + 120 + 1)]
        assert names.index("transition") > max(i for i, n in enumerate(names) if n == "router")


QUIET = [
    replace(CHECKS[0], rtt_seconds=0.1, checked_at=999.9, method="icmp"),
    CHECKS[1],
]
LOUD: dict[str, Router] = {
    "state": replace(BUSY, instances=(replace(BUSY.instances[0], state=State.BACKUP),)),
    "since": replace(BUSY, instances=(replace(BUSY.instances[0], since=999.0),)),
    "presence": replace(BUSY, instances=(replace(BUSY.instances[0], present=frozenset()),)),
    "word": replace(BUSY, instances=(replace(BUSY.instances[0], word=None),)),
    "wire": replace(BUSY, wire_watched=False),
    "masters": replace(BUSY, instances=(replace(BUSY.instances[0], masters=()),)),
    "problems": replace(BUSY, problems=frozenset({Problem.KEEPALIVED_DOWN})),
    "checks": replace(BUSY, checks=(GatewayCheck(CHECKS[0].gateway, Verdict.LOST),)),
    "election": replace(BUSY, election=replace(BUSY.election, standing=0)),
    "pid": replace(BUSY, pid=None),
}


@pytest.mark.parametrize("router", LOUD.values(), ids=LOUD.keys())
@on_uvloop
async def test_what_can_be_seen_is_told(router: Router) -> None:
    async with live() as served, following(served) as client:
        served.step(router)
        name, data = await client.event()
        assert (name, data["router"]) == ("router", "a")


@on_uvloop
async def test_what_moves_all_the_time_is_no_news() -> None:
    async with live() as served, following(served) as client:
        instance = BUSY.instances[0]
        heard = replace(instance.masters[0], last_heard=1000.0)
        heard_again = replace(instance, masters=(heard,), adverts_heard=9, last_sent=1000.0)
        served.step(replace(BUSY, checks=tuple(QUIET), instances=(heard_again, BUSY.instances[1])))
        odd = OddAdvert("ha-0", heard.address, frozenset({Oddity.CHECKSUM}), 999.0)
        served.node = replace(
            served.node, odd_adverts={**NODE.odd_adverts, "b": (odd,)}
        )  # no step brings it
        assert (await client.event())[1]["router"] == "b"


@on_uvloop
async def test_a_storm_costs_each_client_few_documents_and_misses_none() -> None:
    async with live() as served, following(served) as one, following(served) as other:
        for turn in range(50):
            for number in range(200):
                served.step(replace(BUSY, id=f"{number}", pid=turn))
            await asyncio.sleep(0)
        for client in (one, other):
            pids: dict[str, int] = {}
            count = 0
            while len(pids) < 200 or set(pids.values()) != {49}:
                name, data = await client.event()
                if name == "router":
                    pids[data["router"]] = data["pid"]
                    count += 1
            assert count <= 400  # the first at once, and the last


@on_uvloop
async def test_a_comment_breaks_the_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "SILENCE", 0.5)
    async with live() as served, following(served) as client:
        assert await client.block() == b": nothing new\n\n"


@on_uvloop
async def test_a_client_that_does_not_read_is_cut_off_and_costs_no_memory() -> None:
    async with live(Limits(write_timeout=0.3)) as served, following(served):
        reading = next(iter(served.changes._readers))
        many = [f"{number}" for number in range(500)]
        async with asyncio.timeout(20):
            turn = 0
            while not served.door.refused[Refusal.SLOW_READER]:
                turn += 1
                for router in many:
                    served.step(replace(BUSY, id=router, pid=turn))
                assert len(reading._routers) <= len(many)
                await asyncio.sleep(0.01)
        await eventually(lambda: not served.changes._readers)


@on_uvloop
async def test_a_client_that_leaves_is_forgotten() -> None:
    async with live() as served:
        async with following(served):
            assert len(served.changes._readers) == 1
        await eventually(lambda: not served.changes._readers)
        served.step(BUSY)
        assert not served.changes._marked


@on_uvloop
async def test_after_a_reload_everybody_has_to_come_in_again() -> None:
    async with live() as served, following(served) as client:
        served.door.admission = Admission()
        assert await client.is_over()


@on_uvloop
async def test_the_end_of_the_daemon_ends_every_stream_at_once() -> None:
    began = 0.0
    async with asyncio.timeout(LIMIT):
        async with live() as served:
            following_it = following(served)
            client = await following_it.__aenter__()
            began = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - began < 0.5
        assert await client.is_over()
        client.close()
