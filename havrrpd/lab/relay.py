"""The nodes' read-only pages on the host: 127.0.0.1 ports relayed into the nodes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Self

from havrrpd.lab import daemon, prometheus
from havrrpd.lab.lab import MONITOR, Lab
from havrrpd.lab.node import Node
from havrrpd.lab.waiting import LabError

_FIRST_PORT = 9912
_LAST_PORT = 10912


class Relay:
    """A context manager: from entry to exit `urls` lead to the nodes, by a thread of its own.

    It leads to the TCP port inside, not to the Unix socket: what that one lets people change
    is not for every process and every web page of the host. `find` names a node as it is now.
    """

    def __init__(self, targets: Sequence[tuple[str, int]], find: Callable[[str], Node]) -> None:
        """Targets: names of nodes, and the ports inside."""
        self._lines = [_Line(partial(find, name), port) for name, port in targets]
        self._sockets = _listen(len(targets))
        self.urls = {
            name: f"http://127.0.0.1:{listening.getsockname()[1]}/"
            for (name, _), listening in zip(targets, self._sockets, strict=True)
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
            await asyncio.start_server(line.relay, sock=listening)
            for line, listening in zip(self._lines, self._sockets, strict=True)
        ]


class _Line:
    """From the host to one node."""

    def __init__(self, find: Callable[[], Node], port: int) -> None:
        self._find, self._inside = find, ("127.0.0.1", port)

    async def relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection; closed at once when nobody serves it inside."""
        async with _closing(writer):
            try:
                inner = await asyncio.to_thread(self._connect)
            except (OSError, LabError):
                return
            inner_reader, inner_writer = await asyncio.open_connection(sock=inner)
            async with _closing(inner_writer), asyncio.TaskGroup() as group:
                group.create_task(_copy(reader, inner_writer))
                group.create_task(_copy(inner_reader, writer))

    def _connect(self) -> socket.socket:
        return self._find().inside(lambda: socket.create_connection(self._inside, 1.0))


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


def relay_of(lab: Lab, find: Callable[[str], Node]) -> Relay:
    """To every havrrpd of a lab, and to Prometheus where there is one."""
    targets = [(name, daemon.PORT) for name in lab.names]
    if lab.plan.whole:
        targets.append((MONITOR, prometheus.PORT))
    return Relay(targets, find)


def main() -> None:
    """For the lab that is on disk: says where the pages are, and serves until it is ended."""
    from havrrpd.lab import store

    # A node can die and come back while this one serves.
    with relay_of(store.opened(), lambda name: store.opened().any_node(name)) as relay:
        print(json.dumps(relay.urls), flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
