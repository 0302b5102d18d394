"""The web apps on real sockets, as the daemon serves them."""

from __future__ import annotations

import asyncio
import functools
import os
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import ParamSpec

import uvloop
from aiohttp.web import Application

from havrrpd.views.web.door import Admission, Door
from havrrpd.views.web.server import serve
from havrrpd.views.web.sockets import listening_tcp, listening_unix

P = ParamSpec("P")


@asynccontextmanager
async def answering_unix(app: Application, path: Path) -> AsyncIterator[Door]:
    with listening_unix(str(path)) as listener:
        async with _answering(app, listener) as door:
            yield door


@asynccontextmanager
async def answering_tcp(
    app: Application, admission: Admission, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[tuple[int, Door]]:
    """Yields the port, and the door. Port 0: one that is free."""
    with listening_tcp(host, port) as listener:
        async with _answering(app, listener, admission) as door:
            yield listener.getsockname()[1], door


@asynccontextmanager
async def _answering(
    app: Application, listener: socket.socket, admission: Admission | None = None
) -> AsyncIterator[Door]:
    door = Door(admission or Admission())
    serving = asyncio.create_task(serve(app, listener, door))
    try:
        yield door
    finally:
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving


def on_uvloop(test: Callable[P, Coroutine[None, None, None]]) -> Callable[P, None]:
    """The test, run by the loop that the daemon has."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        uvloop.run(test(*args, **kwargs))

    return run


async def eventually(found: Callable[[], bool]) -> None:
    """Wait, with a limit, for what nothing announces."""
    async with asyncio.timeout(10):
        while not found():
            await asyncio.to_thread(os.sched_yield)
