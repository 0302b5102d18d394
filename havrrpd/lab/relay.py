"""The nodes' read-only pages on the host: 127.0.0.1 ports relayed into the nodes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from havrrpd.lab.node import Node
from havrrpd.netns import open_inside

_FIRST_PORT = 9912
_LAST_PORT = 10912
_INSIDE = ("127.0.0.1", 9912)


class Relay:
    """A context manager: from entry to exit `urls` lead to the nodes, by a thread of its own.

    It leads to the TCP port inside, not to the Unix socket: what that one lets people change
    is not for every process and every web page of the host.
    """

    def __init__(self, nodes: list[Node]) -> None:
        self._nodes = nodes
        self._sockets = _listen(len(nodes))
        self.urls = {
            node.name: f"http://127.0.0.1:{listening.getsockname()[1]}/"
            for node, listening in zip(nodes, self._sockets, strict=True)
        }
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            servers = runner.run(self._serve())
            self._loop.run_forever()
            for server in servers:
                server.close()

    async def _serve(self) -> list[asyncio.Server]:
        return [
            await asyncio.start_server(_Line(node).relay, sock=listening)
            for node, listening in zip(self._nodes, self._sockets, strict=True)
        ]


class _Line:
    """From the host to one node."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection; closed at once when the node's havrrpd is not there."""
        async with _closing(writer):
            try:
                inner = await asyncio.to_thread(self._connect)
            except OSError:
                return
            inner_reader, inner_writer = await asyncio.open_connection(sock=inner)
            async with _closing(inner_writer), asyncio.TaskGroup() as group:
                group.create_task(_copy(reader, inner_writer))
                group.create_task(_copy(inner_reader, writer))

    def _connect(self) -> socket.socket:
        namespace = os.open(f"/proc/{self._node.pid}/ns/net", os.O_RDONLY)
        try:
            return open_inside(namespace, lambda: socket.create_connection(_INSIDE, 1.0))
        finally:
            os.close(namespace)


@contextlib.asynccontextmanager
async def _closing(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    """Closed and gone on exit: the loop may stop right after."""
    try:
        yield
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until one side closes; then the other is closed too."""
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


def _listen(count: int) -> list[socket.socket]:
    """Sockets on the first free ports."""
    found: list[socket.socket] = []
    for port in range(_FIRST_PORT, _LAST_PORT):
        if len(found) == count:
            break
        with contextlib.suppress(OSError):
            found.append(socket.create_server(("127.0.0.1", port)))
    return found
