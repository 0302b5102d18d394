"""A thread that reads from many sockets, each known by a key, which come and go."""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from havrrpd.lab.waiting import LabError

K = TypeVar("K")

_LOOK = 0.2  # seconds until a new socket is read from


class Collector(Generic[K]):
    """`receive` is called in the thread, with a readable socket and its key.

    What it raises ends the thread, and `check` and `stop` say so: nobody takes deafness for rest.
    """

    def __init__(self, name: str, receive: Callable[[socket.socket, K], None]) -> None:
        self._receive = receive
        self._sockets: dict[socket.socket, K] = {}
        self._lock = threading.Lock()
        self._stop, self._stopped = os.pipe()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """And close every socket."""
        os.close(self._stopped)
        self._thread.join()
        os.close(self._stop)
        self.drop(lambda key: True)
        self.check()

    def check(self) -> None:
        """LabError if the thread has ended, and what has happened since was missed."""
        if self._failure is not None:
            raise LabError(f"the watching has failed: {self._failure!r}") from self._failure

    def add(self, source: socket.socket, key: K) -> None:
        with self._lock:
            self._sockets[source] = key

    def drop(self, unwanted: Callable[[K], bool]) -> None:
        with self._lock:
            for source in [source for source, key in self._sockets.items() if unwanted(key)]:
                del self._sockets[source]
                source.close()

    def _run(self) -> None:
        try:
            self._collect()
        except BaseException as failure:
            self._failure = failure

    def _collect(self) -> None:
        while True:
            poll = select.poll()
            poll.register(self._stop, select.POLLIN)
            with self._lock:
                watched = {source.fileno(): source for source in self._sockets}
            for descriptor in watched:
                poll.register(descriptor, select.POLLIN)
            ready = [descriptor for descriptor, _ in poll.poll(_LOOK * 1000)]
            if self._stop in ready:
                return
            with self._lock:
                for source in (watched[descriptor] for descriptor in ready):
                    if source in self._sockets:  # else it was dropped meanwhile
                        self._receive(source, self._sockets[source])
