"""The web server against clients that ask too much, too slowly, or nothing that is HTTP.

Real sockets, under uvloop as in the daemon; timeouts are short, and so are the tests.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from io import BytesIO

import pytest
from aiohttp.web import Request, Response, StreamResponse
from structlog.testing import capture_logs

from havrrpd.core.node import Node
from havrrpd.views.web import answers
from havrrpd.views.web.app import read_only_app
from havrrpd.views.web.connection import LONGEST_HEADER, LONGEST_TARGET, MOST_HEADERS, Connection
from havrrpd.views.web.door import Admission, Door
from havrrpd.views.web.limits import Limits, Refusal
from havrrpd.views.web.tls import server_context
from tests.answering import answering_tcp, eventually, on_uvloop
from tests.certificates import Pair, certificate

BIG = 20_000_000  # bytes: more than the kernel keeps for a client that does not read
READY = b"GET /-/ready HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET /-/ready HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
NODE = Node(name="n", version="9.9", now=1.0, wall_now=1.0, started_at=0.0, ready=True)


@dataclass
class Web:
    """The read-only app, with a page that is big, one that is slow and one that has a bug."""

    port: int
    door: Door
    hurry: asyncio.Event  # ends the slow one

    @property
    def open(self) -> int:
        return self.door.open

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def ask(self, *requests: bytes) -> bytes:
        """All that comes until the server closes."""
        reader, writer = await self.connect()
        for request in requests:
            writer.write(request)
        try:
            return await asyncio.wait_for(reader.read(), 10)
        finally:
            writer.close()


@asynccontextmanager
async def web(
    limits: Limits | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Web]:
    hurry = asyncio.Event()

    async def big(_request: Request) -> Response:
        return answers.body(b"x" * BIG, "text/plain")

    async def slow(_request: Request) -> Response:
        await hurry.wait()
        return answers.json("slow")

    async def bug(_request: Request) -> Response:
        raise RuntimeError("the secret of the house")

    async def stream(request: Request) -> StreamResponse:
        response = StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 10_000)
            await asyncio.sleep(0)

    app = read_only_app(lambda: NODE)
    app.router.add_get("/big", big)
    app.router.add_get("/stream", stream)
    app.router.add_get("/slow", slow)
    app.router.add_get("/bug", bug)
    admission = Admission(limits or Limits(), tls=tls)
    async with answering_tcp(app, admission) as (port, door):
        yield Web(port, door, hurry)


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def json_of(answer: bytes) -> object:
    return json.loads(answer.partition(b"\r\n\r\n")[2])


def sockets() -> int:
    """How many this process has open."""
    return sum(is_socket(descriptor) for descriptor in os.listdir("/proc/self/fd"))


def is_socket(descriptor: str) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}").startswith("socket:")
    except FileNotFoundError:
        return False  # of listing them


# --- what is asked ---


@pytest.mark.parametrize(
    ("request_", "status", "error", "why"),
    [
        (b"rubbish\r\n\r\n", 400, "bad request", Refusal.MALFORMED),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", 400, "bad request", Refusal.MALFORMED),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "bad request", Refusal.MALFORMED),
        (b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400, "bad request", Refusal.MALFORMED),
        (
            b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n" % (b"a" * LONGEST_TARGET),
            414,
            "URI too long",
            Refusal.TOO_LARGE,
        ),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nCookie: %b\r\n\r\n" % (b"a" * (LONGEST_HEADER + 1)),
            431,
            "request header fields too large",
            Refusal.TOO_LARGE,
        ),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\n%b\r\n" % (b"X: a\r\n" * MOST_HEADERS),
            431,
            "request header fields too large",
            Refusal.TOO_LARGE,
        ),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\nbegun",
            413,
            "requests have no body here",
            Refusal.TOO_LARGE,
        ),
        (
            b"POST /drain HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n",
            413,
            "requests have no body here",
            Refusal.TOO_LARGE,
        ),
    ],
)
@on_uvloop
async def test_what_is_too_large_or_no_http_is_refused_and_counted(
    request_: bytes, status: int, error: str, why: Refusal
) -> None:
    async with web() as served:
        answer = await served.ask(request_)
        assert (status_of(answer), json_of(answer)) == (status, {"error": error})
        assert {why for why, count in served.door.refused.items() if count} == {why}


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"POST /drain HTTP/1.0\r\n\r\n", 404),
        (b"POST /failover/a HTTP/1.0\r\n\r\n", 404),
        (b"POST /status HTTP/1.0\r\n\r\n", 405),
        (b"DELETE /status/a HTTP/1.0\r\n\r\n", 405),
        (b"OPTIONS * HTTP/1.0\r\n\r\n", 404),
        (b"TRACE / HTTP/1.0\r\n\r\n", 405),
        (b"GET /../../etc/passwd HTTP/1.0\r\n\r\n", 404),
        (b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.0\r\n\r\n", 404),
        (b"GET /status/%00%ff HTTP/1.0\r\n\r\n", 404),
        (b"GET /bug HTTP/1.0\r\n\r\n", 500),
        (LAST.replace(b"Host", b"Expect: wonders\r\nHost"), 417),
        (b"GET / HTTP/1.0\r\n\r\n", 200),
        (b"HEAD /metrics HTTP/1.0\r\n\r\n", 200),
        (b"rubbish\r\n\r\n", 400),
    ],
)
@on_uvloop
async def test_no_answer_tells_what_made_it_and_all_have_the_headers(
    request_: bytes, status: int
) -> None:
    async with web() as served:
        asyncio.get_running_loop().set_debug(True)  # in which aiohttp shows tracebacks to clients
        answer = await served.ask(request_)
    head = answer.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    assert status_of(answer) == status
    for word in (b"aiohttp", b"Python", b"Traceback", b"secret", b".py"):
        assert word not in answer
    for header in (
        "Server: havrrpd",
        "X-Content-Type-Options: nosniff",
        "X-Frame-Options: DENY",
        "Referrer-Policy: no-referrer",
    ):
        assert head.count(header) == 1
    assert any(line.startswith("Content-Security-Policy: default-src 'none'; ") for line in head)
    assert any(line in ("Cache-Control: no-store", "Cache-Control: no-cache") for line in head)


@on_uvloop
async def test_a_bug_is_a_plain_500_and_a_line_in_the_log() -> None:
    with capture_logs() as logs:
        async with web() as served:
            answer = await served.ask(b"GET /bug HTTP/1.0\r\n\r\n")
            assert status_of(await served.ask(LAST)) == 200
    assert (status_of(answer), json_of(answer)) == (500, {"error": "internal server error"})
    assert [(entry["event"], entry["path"]) for entry in logs] == [("request.failed", "/bug")]
    assert isinstance(logs[0]["exc_info"], RuntimeError)


@on_uvloop
async def test_requests_that_wait_behind_others_are_all_answered() -> None:
    async with web(Limits(client_rate=1000)) as served:
        answer = await served.ask(READY * 99 + LAST)
    assert answer.count(b"HTTP/1.1 200 OK") == 100


# --- how often ---


@on_uvloop
async def test_a_client_that_asks_too_often_is_told_to_come_back() -> None:
    async with web(Limits(client_rate=0.1)) as served:
        first, second = (await served.ask(READY, LAST)).split(b"HTTP/1.1 ")[1:]
        assert first.startswith(b"200 OK")
        assert second.startswith(b"429 Too Many Requests")
        assert b"\r\nRetry-After: 1\r\n" in second
        assert served.door.refused[Refusal.CLIENT_RATE] == 1


@on_uvloop
async def test_a_client_that_connects_too_often_is_turned_away() -> None:
    async with web(Limits(client_rate=0.1)) as served:
        assert status_of(await served.ask(LAST)) == 200
        answer = await served.ask()
        assert status_of(answer) == 429
        assert json_of(answer) == {"error": "too many new connections from one address"}
        assert served.door.refused[Refusal.CLIENT_RATE] == 1


@pytest.mark.parametrize(
    ("limits", "status", "why"),
    [
        (Limits(connections=2), 503, Refusal.CONNECTIONS),
        (Limits(client_connections=2), 429, Refusal.CLIENT_CONNECTIONS),
    ],
)
@on_uvloop
async def test_a_connection_too_many_is_turned_away_until_another_one_ends(
    limits: Limits, status: int, why: Refusal
) -> None:
    async with web(limits) as served:
        _, first = await served.connect()
        _, second = await served.connect()
        await eventually(lambda: served.open == 2)
        assert status_of(await served.ask()) == status
        assert served.door.refused[why] == 1
        first.close()
        await eventually(lambda: served.open == 1)
        assert status_of(await served.ask(LAST)) == 200
        second.close()
        await eventually(lambda: served.open == 0)


@on_uvloop
async def test_a_flood_of_connections_leaves_nothing_behind() -> None:
    async with web(Limits(client_connections=4, client_rate=10_000)) as served:
        before = sockets()
        for _ in range(20):
            flood = [await served.connect() for _ in range(20)]
            for _, writer in flood:
                writer.close()
        await eventually(lambda: served.open == 0)
        await eventually(lambda: sockets() == before)
        assert status_of(await served.ask(LAST)) == 200


@on_uvloop
async def test_without_a_free_descriptor_it_waits_for_one() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with web() as served:
        client = socket.socket()
        client.setblocking(False)
        used = max(int(name) for name in os.listdir("/proc/self/fd"))
        spare = [os.dup(0) for _ in range(used + 1 - len(os.listdir("/proc/self/fd")) + 1)]
        try:
            with capture_logs() as logs:
                resource.setrlimit(resource.RLIMIT_NOFILE, (max(used, *spare) + 1, hard))
                await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", served.port))
                await eventually(lambda: bool(logs))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for descriptor in spare:
                os.close(descriptor)
        assert logs[0]["event"] == "web.accept_failed"
        reader, writer = await asyncio.open_connection(sock=client)
        writer.write(LAST)
        assert status_of(await asyncio.wait_for(reader.read(), 10)) == 200
        writer.close()


# --- how slowly ---


@pytest.mark.parametrize("begun", [b"G", READY[:-2], READY + READY[:-2]])
@on_uvloop
async def test_a_request_that_does_not_come_to_its_end_is_408(begun: bytes) -> None:
    async with web(Limits(request_timeout=0.2, idle_timeout=60)) as served:
        reader, writer = await served.connect()
        whole, _, part = begun.rpartition(READY)
        if whole or begun.startswith(READY):
            writer.write(READY)
            await reader.readuntil(b'{"ready":true}')
        writer.write(part)
        answer = await asyncio.wait_for(reader.read(), 10)
        assert (status_of(answer), json_of(answer)) == (408, {"error": "the request took too long"})
        assert served.door.refused[Refusal.SLOW_REQUEST] == 1
        await eventually(lambda: served.open == 0)
        writer.close()


@on_uvloop
async def test_a_request_that_drips_is_not_waited_for_either() -> None:
    async with asyncio.timeout(10), web(Limits(request_timeout=0.3)) as served:
        _, writer = await served.connect()
        writer.write(READY[:-2])
        while not served.door.refused[Refusal.SLOW_REQUEST]:
            writer.write(b"X: a\r\n")
            await asyncio.sleep(0.02)
        await eventually(lambda: served.open == 0)
        writer.close()


@on_uvloop
async def test_a_client_that_says_nothing_is_hung_up_on() -> None:
    async with web(Limits(request_timeout=0.2)) as served:
        assert await served.ask() == b""
        assert served.door.refused[Refusal.SLOW_REQUEST] == 1


@on_uvloop
async def test_a_connection_that_idles_is_closed_and_nobody_is_blamed() -> None:
    async with web(Limits(request_timeout=60, idle_timeout=0.2)) as served:
        answer = await served.ask(READY)
        assert status_of(answer) == 200
        assert served.door.refused.total() == 0


@on_uvloop
async def test_an_answer_that_takes_its_time_is_not_the_client_s_fault() -> None:
    async with web(Limits(request_timeout=0.2, write_timeout=0.2)) as served:
        reader, writer = await served.connect()
        writer.write(READY + b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        await reader.readuntil(b'{"ready":true}')
        with pytest.raises(TimeoutError):  # one that comes meanwhile is in time, too
            await asyncio.wait_for(reader.read(1), 0.4)
        writer.write(LAST)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.4)
        served.hurry.set()
        assert (await asyncio.wait_for(reader.read(), 10)).count(b"HTTP/1.1 200 OK") == 2
        assert served.door.refused.total() == 0
        writer.close()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return certificate(tmp_path_factory.mktemp("certificate"))


@asynccontextmanager
async def slow_reader(
    served: Web, pair: Pair, path: str, with_tls: bool
) -> AsyncIterator[socket.socket]:
    """A client with a small buffer that has asked for `path`; it blocks, so read it on a thread."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 50_000)
    await asyncio.to_thread(client.connect, ("127.0.0.1", served.port))
    if with_tls:
        client = await asyncio.to_thread(pair.trusting().wrap_socket, client)
    with client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        yield client


async def sip(client: socket.socket) -> bytes:
    """Some of the answer, at 10 MB a second at most."""
    await asyncio.sleep(0.001)
    return await asyncio.to_thread(client.recv, 10_000)


@pytest.mark.parametrize("with_tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("path", ["/big", "/stream"])
@on_uvloop
async def test_a_client_that_does_not_take_its_answer_is_cut_off(
    pair: Pair, with_tls: bool, path: str
) -> None:
    tls = server_context(str(pair.certificate), str(pair.key)) if with_tls else None
    async with web(Limits(write_timeout=0.5), tls) as served:
        async with slow_reader(served, pair, path, with_tls):
            await eventually(lambda: served.door.refused[Refusal.SLOW_READER] == 1)
            await eventually(lambda: served.open == 0)
        assert served.door.refused.total() == 1


@pytest.mark.parametrize("with_tls", [False, True], ids=["plain", "tls"])
@on_uvloop
async def test_a_client_that_sips_its_answer_is_cut_off_too(pair: Pair, with_tls: bool) -> None:
    tls = server_context(str(pair.certificate), str(pair.key)) if with_tls else None
    async with (
        web(Limits(write_timeout=0.5), tls) as served,
        slow_reader(served, pair, "/big", with_tls) as client,
    ):
        with suppress(ConnectionError):
            while await sip(client):
                pass
        assert served.door.refused[Refusal.SLOW_READER] == 1
        await eventually(lambda: served.open == 0)


@on_uvloop
async def test_a_stream_goes_on_for_as_long_as_its_client_reads(pair: Pair) -> None:
    async with web(Limits(write_timeout=0.3, request_timeout=0.3, idle_timeout=0.3)) as served:
        async with slow_reader(served, pair, "/stream", with_tls=False) as client:
            end = asyncio.get_running_loop().time() + 1.0
            while asyncio.get_running_loop().time() < end:
                assert await asyncio.to_thread(client.recv, 100_000)
        assert served.door.refused.total() == 0


@pytest.mark.parametrize("with_tls", [False, True], ids=["plain", "tls"])
@on_uvloop
async def test_a_client_that_takes_it_gets_all_of_it(pair: Pair, with_tls: bool) -> None:
    tls = server_context(str(pair.certificate), str(pair.key)) if with_tls else None
    async with web(Limits(write_timeout=20), tls) as served:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", served.port, ssl=pair.trusting() if with_tls else None
        )
        writer.write(b"GET /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 20)
        assert len(answer.partition(b"\r\n\r\n")[2]) == BIG
        writer.close()


@on_uvloop
async def test_of_a_client_that_goes_early_nothing_waits_for_the_garbage_collector() -> None:
    """Neither the answer, megabytes of /metrics or /status, nor the connection."""
    gc.collect()
    gc.disable()
    try:
        async with web() as served:
            for _ in range(10):
                await asyncio.to_thread(ask_and_go, served.port)
            await eventually(lambda: served.open == 0)
            await eventually(lambda: kept(Connection) == [])
    finally:
        gc.enable()


def ask_and_go(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
        client.recv(1000)


def kept(kind: type) -> list[object]:
    return [each for each in gc.get_objects() if isinstance(each, kind)]


@on_uvloop
async def test_a_connection_that_stays_open_does_not_keep_its_last_answer() -> None:
    async with web() as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(BIG)
        assert b"Connection: close" not in head
        await eventually(lambda: not any(each.getbuffer().nbytes == BIG for each in open_bytes()))
        writer.close()


def open_bytes() -> list[BytesIO]:
    return [x for x in gc.get_objects() if isinstance(x, BytesIO) and not x.closed]


@on_uvloop
async def test_the_end_of_the_daemon_waits_for_no_client() -> None:
    async with asyncio.timeout(8), web() as served:
        _, idle = await served.connect()
        _, slow = await served.connect()
        slow.write(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        _, stalled = await served.connect()
        stalled.write(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
        await eventually(lambda: served.open == 3)
    for writer in (idle, slow, stalled):
        writer.close()
