"""What changes something: for the Unix socket, whose mode says who may give orders."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import Protocol

import structlog
from aiohttp.web import Application, Request, Response

from havrrpd.core.node import Node
from havrrpd.views.web import answers

_CREDENTIALS = "3i"  # struct ucred: unix(7)

log = structlog.get_logger()


class RefusedError(Exception):
    """What was asked for can't be done now; the text says why."""


class Control(Protocol):
    """What the Unix socket can order. The methods return at once: they enqueue."""

    def failover(self, router: str) -> None:
        """Raises RefusedError when this node can't give that router away."""

    def drain(self, draining: bool) -> None:
        """Raises RefusedError when it can't be remembered."""

    def reload(self) -> None:
        """Raises ValueError (a ConfigError is one), its text naming every problem."""


def add_orders(app: Application, snapshot: Callable[[], Node], control: Control) -> None:
    async def failover(request: Request) -> Response:
        router = request.match_info["router"]
        if router not in snapshot().routers:
            return answers.unknown(router)
        return _ordered(request, lambda: control.failover(router))

    async def drain(request: Request) -> Response:
        return _ordered(request, lambda: control.drain(True))

    async def undrain(request: Request) -> Response:
        return _ordered(request, lambda: control.drain(False))

    async def reload(request: Request) -> Response:
        return _ordered(request, control.reload)

    app.router.add_post("/failover/{router}", failover)
    app.router.add_post("/drain", drain)
    app.router.add_post("/undrain", undrain)
    app.router.add_post("/reload", reload)


def _ordered(request: Request, order: Callable[[], None]) -> Response:
    """Gives the order, and logs who gave it and what came of it."""
    given = log.bind(order=request.path, **_peer(request))
    try:
        order()
    except RefusedError as refusal:
        given.warning("order.refused", reason=str(refusal))
        return answers.error(409, str(refusal))
    except ValueError as problems:
        given.warning("order.refused", reason=str(problems))
        return answers.error(422, str(problems))
    given.info("order.taken")
    return answers.json({"ordered": True}, 202)


def _peer(request: Request) -> dict[str, int]:
    """The process that connected, and whose it is, as the kernel says: SO_PEERCRED, unix(7)."""
    assert request.transport is not None
    connected = request.transport.get_extra_info("socket")
    size = struct.calcsize(_CREDENTIALS)
    said = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    pid, uid, gid = struct.unpack(_CREDENTIALS, said)
    return {"peer_pid": pid, "peer_uid": uid, "peer_gid": gid}
