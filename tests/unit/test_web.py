"""HTTP: what anybody may read, what is ordered on the Unix socket only, and whose socket it is."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, UnixConnector
from msgspec.structs import replace
from structlog.testing import capture_logs

from havrrpd.core.model import Router, Settings
from havrrpd.core.node import Node
from havrrpd.views.web.app import control_app, read_only_app
from havrrpd.views.web.door import Admission
from havrrpd.views.web.orders import RefusedError
from havrrpd.views.web.sockets import SocketInUseError, listening_tcp, listening_unix
from tests.answering import answering_tcp, answering_unix

NODE = Node(
    name="network1",
    version="9.9",
    now=1000.0,
    wall_now=1_700_000_000.0,
    started_at=900.0,
    ready=True,
    routers={"a": Router(id="a", settings=Settings(node="network1"))},
)


@dataclass
class Orders:
    """What was ordered; refuses with `refusal`, and can't read its configuration if told so."""

    given: list[object] = field(default_factory=list)
    refusal: str = ""
    config_error: str = ""

    def failover(self, router: str) -> None:
        self._take(("failover", router))

    def drain(self, draining: bool) -> None:
        self._take(("drain", draining))

    def reload(self) -> None:
        if self.config_error:
            raise ValueError(self.config_error)
        self._take("reload")

    def _take(self, order: object) -> None:
        if self.refusal:
            raise RefusedError(self.refusal)
        self.given.append(order)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Ask = Callable[..., Awaitable[Answer]]


@asynccontextmanager
async def served(path: Path, orders: Orders, node: Node = NODE) -> AsyncIterator[Ask]:
    """The control app on a Unix socket, and a way to ask it."""
    async with (
        answering_unix(control_app(lambda: node, orders), path),
        ClientSession(connector=UnixConnector(str(path))) as session,
    ):

        async def ask(method: str, url: str, **headers: str) -> Answer:
            async with session.request(method, f"http://havrrpd{url}", headers=headers) as got:
                return Answer(got.status, dict(got.headers), await got.read())

        yield ask


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def is_there(path: Path) -> bool:
    return path.exists()


def write(path: Path, text: str) -> None:
    path.write_text(text)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "havrrpd.sock"


async def test_status_is_given_whole_and_by_router(path: Path) -> None:
    async with served(path, Orders()) as ask:
        whole, one = await ask("GET", "/status"), await ask("GET", "/status/a")
    assert one.json == {**whole.json["routers"][0], "explanation": one.json["explanation"]}
    assert (whole.status, one.status, one.json["router"]) == (200, 200, "a")
    assert whole.headers["Content-Type"] == "application/json"
    assert whole.headers["Cache-Control"] == "no-store"


async def test_an_unknown_router_is_404(path: Path) -> None:
    async with served(path, Orders()) as ask:
        read, ordered = await ask("GET", "/status/b"), await ask("POST", "/failover/b")
    assert (read.status, read.json) == (404, {"error": "no router b on this node"})
    assert (ordered.status, ordered.json) == (404, {"error": "no router b on this node"})


async def test_metrics_are_text_or_openmetrics(path: Path) -> None:
    async with served(path, Orders()) as ask:
        text = await ask("GET", "/metrics", Accept="text/plain")
        openmetrics = await ask("GET", "/metrics", Accept="application/openmetrics-text")
    assert b'havrrpd_build_info{version="9.9"} 1.0\n' in text.body
    assert text.headers["Content-Type"].startswith("text/plain; version=")
    assert openmetrics.headers["Content-Type"].startswith("application/openmetrics-text")
    assert openmetrics.body.endswith(b"# EOF\n")


async def test_health_names_the_sources_that_stalled(path: Path) -> None:
    stalled = replace(NODE, ready=False, stalled_sources=("netlink", "notify"))
    async with served(path, Orders(), stalled) as ask:
        healthy, ready = await ask("GET", "/-/healthy"), await ask("GET", "/-/ready")
    assert healthy.status == 503
    assert healthy.json == {"healthy": False, "stalled": ["netlink", "notify"]}
    assert (ready.status, ready.json) == (503, {"ready": False})


async def test_a_node_that_is_well_says_so(path: Path) -> None:
    async with served(path, Orders()) as ask:
        healthy, ready = await ask("GET", "/-/healthy"), await ask("GET", "/-/ready")
    assert (healthy.status, ready.status) == (200, 200)


async def test_orders_are_taken_by_post(path: Path) -> None:
    orders = Orders()
    async with served(path, orders) as ask:
        for url in ("/failover/a", "/drain", "/undrain", "/reload"):
            assert (await ask("POST", url)).status == 202
    assert orders.given == [("failover", "a"), ("drain", True), ("drain", False), "reload"]


async def test_orders_are_not_taken_by_get(path: Path) -> None:
    orders = Orders()
    async with served(path, orders) as ask:
        for url in ("/failover/a", "/drain", "/undrain", "/reload"):
            answer = await ask("GET", url)
            assert (answer.status, answer.headers["Allow"]) == (405, "POST")
            assert answer.json == {"error": "method not allowed"}
    assert orders.given == []


async def test_a_refused_order_is_409_with_the_reason(path: Path) -> None:
    async with served(path, Orders(refusal="a is not MASTER here")) as ask:
        answer = await ask("POST", "/failover/a")
    assert (answer.status, answer.json) == (409, {"error": "a is not MASTER here"})


async def test_a_bad_configuration_is_422_with_every_problem(path: Path) -> None:
    async with served(path, Orders(config_error="x.toml: a\nx.toml: b")) as ask:
        answer = await ask("POST", "/reload")
    assert (answer.status, answer.json) == (422, {"error": "x.toml: a\nx.toml: b"})


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_tcp_gives_views_and_takes_no_orders(host: str) -> None:
    app = read_only_app(lambda: NODE)
    async with answering_tcp(app, Admission(), host) as (port, _), ClientSession() as session:
        base = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        async with session.get(f"{base}/status") as answer:
            assert (await answer.json())["node"] == "network1"
        for url in ("/failover/a", "/drain", "/undrain", "/reload"):
            async with session.post(f"{base}{url}") as answer:
                assert answer.status == 404


class Watched(Mapping[str, Router]):
    """Routers that note when they are looked at, and as part of which snapshot."""

    def __init__(self, number: int, looks: list[int]) -> None:
        self._number, self._looks = number, looks

    def __getitem__(self, router: str) -> Router:
        self._looks.append(self._number)
        return replace(NODE.routers["a"], id=router)

    def __iter__(self) -> Iterator[str]:
        return (f"{number:04}" for number in range(200))

    def __len__(self) -> int:
        return 200


@pytest.mark.parametrize("url", ["/metrics", "/status"])
async def test_of_big_answers_one_is_made_at_a_time(path: Path, url: str) -> None:
    snapshots, looks = count(), list[int]()

    def snapshot() -> Node:
        return replace(NODE, routers=Watched(next(snapshots), looks))

    async with (
        answering_unix(read_only_app(snapshot), path),
        ClientSession("http://havrrpd", connector=UnixConnector(str(path))) as session,
    ):
        asked = await asyncio.gather(*(session.get(url) for _ in range(8)))
        assert all([await answer.read() for answer in asked])
    assert len(set(looks)) == 8
    assert looks == sorted(looks)


async def test_who_gave_an_order_is_logged_with_what_came_of_it(path: Path) -> None:
    with capture_logs() as logs:
        async with served(path, Orders()) as ask:
            await ask("POST", "/failover/a")
        async with served(path, Orders(refusal="not now")) as ask:
            await ask("POST", "/drain")
        async with served(path, Orders(config_error="x.toml: a")) as ask:
            await ask("POST", "/reload")
            await ask("GET", "/status")
    me = {"peer_pid": os.getpid(), "peer_uid": os.getuid(), "peer_gid": os.getgid()}
    assert [
        {key: value for key, value in entry.items() if key != "log_level"} for entry in logs
    ] == [
        {"event": "order.taken", "order": "/failover/a", **me},
        {"event": "order.refused", "order": "/drain", "reason": "not now", **me},
        {"event": "order.refused", "order": "/reload", "reason": "x.toml: a", **me},
    ]


class Page(HTMLParser):
    """What a page refers to outside itself."""

    def __init__(self) -> None:
        super().__init__()
        self.references: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.references += [value for name, value in attrs if name in ("src", "href") and value]


async def test_the_page_needs_no_other_host_and_its_policy_allows_none(path: Path) -> None:
    page = Page()
    async with served(path, Orders()) as ask:
        answer = await ask("GET", "/")
        page.feed(answer.body.decode())
        parts = [await ask("GET", f"/{url}") for url in page.references]
        modules = [
            module for part in parts for module in re.findall(rb'from "\./(.+?)"', part.body)
        ]
        folder = page.references[0].rpartition("/")[0]
        parts += [await ask("GET", f"/{folder}/{module.decode()}") for module in modules]
    names = [url.rpartition("/")[2] for url in page.references]
    assert names == ["icon.svg", "page.css", "page.js", "status"]
    assert {part.status for part in parts} == {200}
    bodies = [
        body.replace(b"http://www.w3.org/2000/svg", b"")
        for body in (answer.body, *[p.body for p in parts])
    ]
    assert not any(b"http:" in body or b"https:" in body for body in bodies)
    policy = answer.headers["Content-Security-Policy"].split("; ")
    assert policy == [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]


async def test_the_socket_is_for_owner_and_group_and_goes_with_the_server(path: Path) -> None:
    async with served(path, Orders()):
        assert mode_of(path) == 0o660
    assert not is_there(path)


async def test_a_stale_socket_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    async with served(path, Orders()) as ask:
        assert (await ask("GET", "/-/ready")).status == 200


async def test_a_socket_in_use_is_left_alone(path: Path) -> None:
    async with served(path, Orders()) as ask:
        inode = os.stat(path).st_ino
        with (
            pytest.raises(SocketInUseError, match="socket already in use"),
            listening_unix(str(path)),
        ):
            pass
        assert os.stat(path).st_ino == inode
        assert (await ask("GET", "/-/ready")).status == 200


def test_a_file_that_is_no_socket_is_left_alone(path: Path) -> None:
    write(path, "precious")
    with pytest.raises(SocketInUseError, match="is not a socket"), listening_unix(str(path)):
        pass
    assert is_there(path)


async def test_a_socket_made_by_a_successor_is_not_removed(path: Path) -> None:
    async with served(path, Orders()):
        os.unlink(path)
        write(path, "the successor's")
    assert is_there(path)


def test_a_port_in_use_is_an_error_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(OSError, match=rf"Address already in use.*{port}"),
            listening_tcp("127.0.0.1", port),
        ):
            pass
