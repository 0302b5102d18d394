"""The pages, and which of the two sockets has which of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp.web import Application, Request, Response, StreamResponse

from havrrpd.core.node import Node
from havrrpd.views import history
from havrrpd.views.changes import Changes
from havrrpd.views.documents import RouterStatus
from havrrpd.views.metrics import Rendering
from havrrpd.views.status import router_status, slices, with_routers
from havrrpd.views.web import answers, openapi
from havrrpd.views.web.connection import Connection
from havrrpd.views.web.events import Events
from havrrpd.views.web.guard import guard
from havrrpd.views.web.orders import Control, add_orders
from havrrpd.views.web.page import add_page

Snapshot = Callable[[], Node]
Get = Callable[[Request], Awaitable[Response]]


def read_only_app(snapshot: Snapshot, changes: Changes | None = None) -> Application:
    """What those who come in by the TCP port may read. Without `changes` /events has few news."""
    # One big answer is made at a time: so many hold the loop up no more than one does.
    turn = asyncio.Lock()
    app = Application(middlewares=[guard, answers.as_json])
    app.on_response_prepare.append(_add_headers)
    events = Events(snapshot, changes or Changes())
    app.on_shutdown.append(events.end)
    add_page(app)
    app.router.add_get("/status", _status(snapshot, turn))
    app.router.add_get("/status/{router}", _router_status(snapshot))
    app.router.add_get("/history", _history(snapshot))
    app.router.add_get("/events", events.stream, allow_head=False)
    app.router.add_get("/metrics", _metrics(snapshot, turn))
    app.router.add_get("/-/healthy", _healthy(snapshot))
    app.router.add_get("/-/ready", _ready(snapshot))
    app.router.add_get("/openapi.json", _openapi(snapshot))
    return app


def control_app(
    snapshot: Snapshot, control: Control, changes: Changes | None = None
) -> Application:
    """The same, and the orders."""
    app = read_only_app(snapshot, changes)
    add_orders(app, snapshot, control)
    return app


async def _add_headers(_request: Request, answer: StreamResponse) -> None:
    answers.add_headers(answer)


def _status(snapshot: Snapshot, turn: asyncio.Lock) -> Get:
    async def handle(_request: Request) -> Response:
        async with turn:
            node, routers = snapshot(), list[RouterStatus]()
            for some in slices(node):
                routers += some
                await asyncio.sleep(0)
            return answers.json(with_routers(node, routers))

    return handle


def _router_status(snapshot: Snapshot) -> Get:
    async def handle(request: Request) -> Response:
        node, router = snapshot(), request.match_info["router"]
        if router not in node.routers:
            return answers.unknown(router)
        return answers.json(router_status(node, router))

    return handle


def _history(snapshot: Snapshot) -> Get:
    async def handle(request: Request) -> Response:
        node = snapshot()
        try:
            asked = history.query(request.query)
        except history.BadQueryError as problem:
            return answers.error(400, str(problem))
        if asked.router is not None and not _is_known(node, asked.router):
            return answers.unknown(asked.router)
        return answers.body(history.answer(node, asked), "application/json")

    return handle


def _is_known(node: Node, router: str) -> bool:
    """Also one that is gone has its history."""
    return router in node.routers or router in node.history


def _metrics(snapshot: Snapshot, turn: asyncio.Lock) -> Get:
    async def handle(request: Request) -> Response:
        async with turn:
            rendering = Rendering(snapshot(), request.headers.get("Accept", ""))
            # Not on a thread: that would hold the loop's up for 250 ms.
            for _ in rendering.slices():
                await asyncio.sleep(0)
            return answers.body(rendering.body(), rendering.content_type)

    return handle


def _healthy(snapshot: Snapshot) -> Get:
    async def handle(_request: Request) -> Response:
        stalled = snapshot().stalled_sources
        return answers.json({"healthy": not stalled, "stalled": stalled}, 503 if stalled else 200)

    return handle


def _ready(snapshot: Snapshot) -> Get:
    async def handle(_request: Request) -> Response:
        ready = snapshot().ready
        return answers.json({"ready": ready}, 200 if ready else 503)

    return handle


def _openapi(snapshot: Snapshot) -> Get:
    async def handle(request: Request) -> Response:
        assert isinstance(request.protocol, Connection)
        users = request.protocol.door.admission.users
        routes = [
            (route.method, route.resource.canonical)
            for route in request.app.router.routes()
            if route.resource is not None
        ]
        return answers.json(openapi.document(snapshot().version, routes, with_users=bool(users)))

    return handle
