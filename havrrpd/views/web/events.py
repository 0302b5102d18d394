"""GET /events: what changes, as server-sent events, for as long as the client reads.

    node            the node without its routers: at first, and when that changed
    router          a router as in /status, when anything of it changed
    router_removed  a router that is gone
    transition      a transition as in /history, after the routers that it changed

Whoever opens it first and then reads /status and /history misses nothing. What changes within
BETWEEN is sent together. A comment comes in SILENCE at the latest, so that no news is no riddle.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress

import msgspec
from aiohttp.web import Application, Request, StreamResponse

from havrrpd.core.node import Node
from havrrpd.views.changes import Changes, Reader
from havrrpd.views.status import SLICE, head, plain_router
from havrrpd.views.web.connection import Connection

RETRY = 1000  # milliseconds until a browser comes back
BETWEEN = 0.1  # seconds
SILENCE = 15.0  # seconds
_CONTENT = "text/event-stream"
_HEADERS = {"Content-Type": _CONTENT, "X-Accel-Buffering": "no"}  # nginx would keep it back


class Events:
    """The streams of one app."""

    def __init__(self, snapshot: Callable[[], Node], changes: Changes) -> None:
        self._snapshot = snapshot
        self._changes = changes
        self._readers: set[Reader] = set()

    async def end(self, _app: Application) -> None:
        """Every stream ends now: the daemon does."""
        for reader in self._readers:
            reader.end()

    async def stream(self, request: Request) -> StreamResponse:
        response = StreamResponse(headers=_HEADERS)
        with self._changes.reader(self._snapshot()) as reader:
            self._readers.add(reader)
            try:
                with suppress(ConnectionError):  # the client is gone
                    await self._tell(request, response, reader)
            finally:
                self._readers.discard(reader)
        return response

    async def _tell(self, request: Request, response: StreamResponse, reader: Reader) -> None:
        connection = request.protocol
        assert isinstance(connection, Connection)
        admission = connection.door.admission
        clock = asyncio.get_running_loop().time
        await response.prepare(request)
        await response.write(b"retry: %d\n\n" % RETRY + _event("node", head(self._snapshot())))
        said_at = clock()
        # After a reload the client may be no longer admitted: it has to come again.
        while not reader.ended and connection.door.admission is admission:
            await reader.wait()
            if connection.transport is None:
                return  # the client is gone
            self._changes.look(self._snapshot())
            said = await self._tell_news(response, reader)
            if not said and clock() - said_at >= SILENCE:
                await response.write(b": nothing new\n\n")
                said = True
            if said:
                said_at = clock()
                await asyncio.sleep(BETWEEN)

    async def _tell_news(self, response: StreamResponse, reader: Reader) -> bool:
        """Some at a time: others on the loop get their turn. Whether there was any."""
        said = False
        while news := b"".join(self._news(reader)):
            await response.write(news)
            await asyncio.sleep(0)
            said = True
        return said

    def _news(self, reader: Reader) -> Iterable[bytes]:
        node = self._snapshot()
        for router in reader.take(SLICE):
            if router in node.routers:
                yield _event("router", plain_router(node, router))
            else:
                yield _event("router_removed", {"router": router})
        if not reader.has_routers:
            for kept in node.history.between(reader.last_id, reader.seen_id)[:SLICE]:
                reader.last_id = kept.id
                yield _event("transition", msgspec.Raw(kept.document))
        if reader.head:
            reader.head = False
            yield _event("node", head(node))


def _event(name: str, data: object) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), msgspec.json.encode(data))
