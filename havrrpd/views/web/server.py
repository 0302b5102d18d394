"""Accepting connections on a listening socket, as many as its door lets in."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from http import HTTPStatus

import structlog
from aiohttp.web import Application, AppRunner
from aiohttp.web import Server as Manager

from havrrpd.views.web import answers
from havrrpd.views.web.connection import Connection
from havrrpd.views.web.door import Door
from havrrpd.views.web.limits import Refusal, client_of

SHUTDOWN = 1.0  # seconds that answers may still take once it ends
RETRY_ACCEPT = 1.0  # seconds until a descriptor may be free again

_TURNED_AWAY = {
    Refusal.CONNECTIONS: answers.raw_error(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections"),
    Refusal.CLIENT_CONNECTIONS: answers.raw_error(
        HTTPStatus.TOO_MANY_REQUESTS, "too many connections from one address"
    ),
    Refusal.CLIENT_RATE: answers.raw_error(
        HTTPStatus.TOO_MANY_REQUESTS, "too many new connections from one address"
    ),
}

log = structlog.get_logger()


async def serve(app: Application, listener: socket.socket, door: Door) -> None:
    """Answers until it is cancelled; then every connection is closed."""
    runner = AppRunner(app, shutdown_timeout=SHUTDOWN)
    await runner.setup()
    assert runner.server is not None
    try:
        async with asyncio.TaskGroup() as connections:
            while True:
                accepted, client = await _accept(listener)
                if _lets_in(door, accepted, client):
                    connections.create_task(_connection(runner.server, accepted, client, door))
    finally:
        await runner.cleanup()


async def _accept(listener: socket.socket) -> tuple[socket.socket, str]:
    """A connection and its client."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            accepted, address = await loop.sock_accept(listener)
        except ConnectionAbortedError:
            continue  # it is gone again already
        except OSError as error:  # no descriptor is free
            log.error("web.accept_failed", error=error.strerror)
            await asyncio.sleep(RETRY_ACCEPT)
            continue
        return accepted, client_of(address[0] if address else "")


def _lets_in(door: Door, accepted: socket.socket, client: str) -> bool:
    """True: it was let in, and is to leave. False: it was closed."""
    why = door.connects(client, asyncio.get_running_loop().time())
    if why is None:
        door.enter(client)
        return True
    with accepted, suppress(OSError):
        if door.admission.tls is None:
            accepted.send(_TURNED_AWAY[why])
    return False


async def _connection(manager: Manager, accepted: socket.socket, client: str, door: Door) -> None:
    """From the handshake of TLS, if any, to the end. Whatever a client does, others are served."""
    loop, tls = asyncio.get_running_loop(), door.admission.tls
    patience = door.limits.request_timeout if tls else None
    connection = Connection(manager, loop, door)
    try:
        await loop.connect_accepted_socket(
            lambda: connection,
            accepted,
            ssl=tls,
            ssl_handshake_timeout=patience,
            ssl_shutdown_timeout=patience,
        )
        await connection.ended
    except OSError:
        accepted.close()
        door.refuse(Refusal.HANDSHAKE)
    except Exception as error:
        accepted.close()
        log.error("connection.failed", exc_info=error)
    finally:
        door.leave(client)
