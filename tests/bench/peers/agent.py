"""The L3 agent's end of its monitors: a Unix socket that says 200 to whatever it is told."""

from __future__ import annotations

import socketserver
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

OWN_BACKLOG = 5  # the agent's in 28 and 29: socketserver's default
LONG_BACKLOG = 4096  # as its constant says, which nothing uses any more


@dataclass(frozen=True, slots=True)
class Told:
    """`at` is the wall clock."""

    state: str
    at: float


class Agent:
    """A context manager; listens from the constructor on. `told`: the last of each router."""

    def __init__(self, path: Path, backlog: int) -> None:
        self.told: dict[str, Told] = {}
        path.unlink(missing_ok=True)
        self._server = _Server(str(path), backlog, self.told)
        self._thread = threading.Thread(target=self._server.serve_forever, name="agent")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def state(self, router: str) -> str:
        """The last that it was told; empty: nothing."""
        told = self.told.get(router)
        return told.state if told else ""


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, path: str, backlog: int, told: dict[str, Told]) -> None:
        self.request_queue_size = backlog
        self.told = told
        super().__init__(path, _Handler)


class _Handler(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        headers = {}
        while (line := self.rfile.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        router, state = headers["x-neutron-router-id"], headers["x-neutron-state"]
        self.server.told[router] = Told(state, time.time())
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
