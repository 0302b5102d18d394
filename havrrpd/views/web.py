"""HTTP: the read-only views over TCP, and with them on the Unix socket what changes something."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import re
import socket
import stat
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from ssl import SSLContext
from typing import Any, Protocol

import msgspec
from aiohttp.web import (
    Application,
    AppRunner,
    HTTPException,
    Request,
    Response,
    SockSite,
    StreamResponse,
    TCPSite,
    middleware,
)

from havrrpd.core.node import Node
from havrrpd.views.metrics import Rendering
from havrrpd.views.status import router_status, slices, with_routers

Snapshot = Callable[[], Node]
Handler = Callable[[Request], Awaitable[Response]]

SOCKET_MODE = 0o660
_PAGE = (Path(__file__).parent / "page" / "index.html").read_bytes()


class RefusedError(Exception):
    """What was asked for can't be done now; the text says why."""


Refused = RefusedError  # as it reads where it is raised: raise web.Refused(why)


class SocketInUseError(OSError):
    """Somebody answers on the Unix socket, or its path is something else."""


class Control(Protocol):
    """What the Unix socket can order. The methods return at once: they enqueue."""

    def failover(self, router: str) -> None:
        """Raises RefusedError when this node can't give that router away."""

    def drain(self, draining: bool) -> None:
        """Raises RefusedError when it can't be remembered."""

    def reload(self) -> None:
        """Raises ValueError (a ConfigError is one), its text naming every problem."""


def read_only_app(snapshot: Snapshot) -> Application:
    """What anybody who reaches the TCP port may read."""
    app = Application(middlewares=[_json_errors])
    app.router.add_get("/", _page)
    app.router.add_get("/status", _status(snapshot))
    app.router.add_get("/status/{router}", _router_status(snapshot))
    app.router.add_get("/metrics", _metrics(snapshot))
    app.router.add_get("/-/healthy", _healthy(snapshot))
    app.router.add_get("/-/ready", _ready(snapshot))
    return app


def control_app(snapshot: Snapshot, control: Control) -> Application:
    """The same, and the orders: for the Unix socket, whose mode says who may give them."""
    app = read_only_app(snapshot)
    app.router.add_post("/failover/{router}", _failover(snapshot, control))
    app.router.add_post("/drain", _drain(control, draining=True))
    app.router.add_post("/undrain", _drain(control, draining=False))
    app.router.add_post("/reload", _reload(control))
    return app


async def serve_tcp(
    app: Application, host: str, port: int, tls: SSLContext | None = None
) -> AppRunner:
    """Listens until the runner's `cleanup()`; raises OSError when the address can't be had."""
    runner = await _runner(app)
    try:
        await TCPSite(runner, host, port, ssl_context=tls).start()
    except BaseException:
        await runner.cleanup()
        raise
    return runner


async def serve_unix(app: Application, path: str) -> AppRunner:
    """Listens on `path`, mode 0660, until the runner's `cleanup()`, which removes it.

    A socket file that nobody answers on is replaced. Raises SocketInUseError, OSError.
    """
    listener = bind_unix(path)
    app.on_cleanup.append(_removing(path, os.stat(path).st_ino))
    runner = await _runner(app)
    try:
        await SockSite(runner, listener).start()
    except BaseException:
        listener.close()
        await runner.cleanup()
        raise
    return runner


def bind_unix(path: str) -> socket.socket:
    """A bound socket that does not listen yet: nobody connects before its mode is right."""
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(path)
        os.chmod(path, SOCKET_MODE)
    except BaseException:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def _remove_stale(path: str) -> None:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise SocketInUseError(f"{path}: is not a socket; remove it, or set paths.socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except TimeoutError:
            pass  # somebody listens, and is too busy to accept
    raise SocketInUseError(f"{path}: socket already in use: another havrrpd runs on this node")


async def _runner(app: Application) -> AppRunner:
    runner = AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    return runner


def _removing(path: str, inode: int) -> Callable[[Application], Awaitable[None]]:
    async def remove(_app: Application) -> None:
        with suppress(FileNotFoundError):
            if os.stat(path).st_ino == inode:
                os.unlink(path)

    return remove


# --- handlers ---


async def _page(_request: Request) -> Response:
    return Response(body=_PAGE, content_type="text/html", charset="utf-8", headers=_PAGE_HEADERS)


def _status(snapshot: Snapshot) -> Handler:
    async def handle(_request: Request) -> Response:
        node, routers = snapshot(), []
        for some in slices(node):
            routers += some
            await asyncio.sleep(0)
        return _json(with_routers(node, routers))

    return handle


def _router_status(snapshot: Snapshot) -> Handler:
    async def handle(request: Request) -> Response:
        node, router = snapshot(), request.match_info["router"]
        if router not in node.routers:
            return _unknown(router)
        return _json(router_status(node, router))

    return handle


def _metrics(snapshot: Snapshot) -> Handler:
    async def handle(request: Request) -> Response:
        rendering = Rendering(snapshot(), request.headers.get("Accept", ""))
        for _ in rendering.slices():  # not on a thread: that would hold the loop's up for 250 ms
            await asyncio.sleep(0)
        headers = {"Content-Type": rendering.content_type}
        return Response(body=rendering.body(), headers=headers)

    return handle


def _healthy(snapshot: Snapshot) -> Handler:
    async def handle(_request: Request) -> Response:
        stalled = snapshot().stalled_sources
        return _json({"healthy": not stalled, "stalled": stalled}, 503 if stalled else 200)

    return handle


def _ready(snapshot: Snapshot) -> Handler:
    async def handle(_request: Request) -> Response:
        ready = snapshot().ready
        return _json({"ready": ready}, 200 if ready else 503)

    return handle


def _failover(snapshot: Snapshot, control: Control) -> Handler:
    async def handle(request: Request) -> Response:
        router = request.match_info["router"]
        if router not in snapshot().routers:
            return _unknown(router)
        return _ordered(lambda: control.failover(router))

    return handle


def _drain(control: Control, *, draining: bool) -> Handler:
    async def handle(_request: Request) -> Response:
        return _ordered(lambda: control.drain(draining))

    return handle


def _reload(control: Control) -> Handler:
    async def handle(_request: Request) -> Response:
        try:
            return _ordered(control.reload)
        except ValueError as error:
            return _json({"error": str(error)}, 422)

    return handle


def _ordered(order: Callable[[], None]) -> Response:
    try:
        order()
    except RefusedError as refusal:
        return _json({"error": str(refusal)}, 409)
    return _json({"ordered": True}, 202)


# --- answers ---


def _json(value: Any, code: int = 200) -> Response:
    return Response(
        body=msgspec.json.encode(value),
        status=code,
        content_type="application/json",
        headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"},
    )


def _unknown(router: str) -> Response:
    return _json({"error": f"no router {router} on this node"}, 404)


@middleware
async def _json_errors(
    request: Request, handler: Callable[[Request], Awaitable[StreamResponse]]
) -> StreamResponse:
    """aiohttp's own refusals (404, 405) as JSON too."""
    try:
        return await handler(request)
    except HTTPException as error:
        answer = _json({"error": error.reason.lower()}, error.status)
        if "Allow" in error.headers:
            answer.headers["Allow"] = error.headers["Allow"]
        return answer


def _hash_of(tag: str) -> str:
    """The inline script or style of the page, as a Content-Security-Policy names it."""
    found = re.search(rb"<%b>(.*?)</%b>" % (tag.encode(), tag.encode()), _PAGE, re.DOTALL)
    assert found is not None
    return f"'sha256-{base64.b64encode(hashlib.sha256(found[1]).digest()).decode()}'"


_PAGE_HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; script-src {_hash_of('script')}; style-src {_hash_of('style')}; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-cache",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
