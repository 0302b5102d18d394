"""A thread that reads from many sockets, each known by a key, which come and go."""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")

_LOOK = 0.2  # seconds until a new socket is read from


class Collector(Generic[K]):
    """`receive` is called in the thread, with a readable socket and its key."""

    def __init__(self, name: str, receive: Callable[[socket.socket, K], None]) -> None:
        self._receive = receive
        self._sockets: dict[socket.socket, K] = {}
        self._lock = threading.Lock()
        self._stop, self._stopped = os.pipe()
        self._thread = threading.Thread(target=self._collect, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """And close every socket."""
        os.close(self._stopped)
        self._thread.join()
        os.close(self._stop)
        self.drop(lambda key: True)

    def add(self, source: socket.socket, key: K) -> None:
        with self._lock:
            self._sockets[source] = key

    def drop(self, unwanted: Callable[[K], bool]) -> None:
        with self._lock:
            for source in [source for source, key in self._sockets.items() if unwanted(key)]:
                del self._sockets[source]
                source.close()

    def _collect(self) -> None:
        while True:
            with self._lock:
                watched: list[int | socket.socket] = [self._stop, *self._sockets]
            try:
                ready, _, _ = select.select(watched, (), (), _LOOK)
            except (OSError, ValueError):  # one was closed meanwhile
                continue
            if self._stop in ready:
                return
            with self._lock:
                for source in ready:
                    if isinstance(source, socket.socket) and source in self._sockets:
                        self._receive(source, self._sockets[source])
