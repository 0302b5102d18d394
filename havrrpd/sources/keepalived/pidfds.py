"""The deaths of processes, by their pidfds: any number of them behind one descriptor."""

from __future__ import annotations

import os
import select
from typing import Generic, TypeVar

T = TypeVar("T")


class Pidfds(Generic[T]):
    """Each pidfd has an owner. They are closed when released, at the latest by `close`."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._owners: dict[int, T] = {}

    def fileno(self) -> int:
        """Readable while a death has not been collected."""
        return self._epoll.fileno()

    def watch(self, pidfd: int, owner: T) -> None:
        self._owners[pidfd] = owner
        self._epoll.register(pidfd, select.EPOLLIN)

    def collect(self) -> list[tuple[int, T]]:
        """The pidfds of those that died, released, with their owners. Does not wait."""
        ended = [(pidfd, self._owners[pidfd]) for pidfd, _ in self._epoll.poll(0)]
        for pidfd, _ in ended:
            self.release(pidfd)
        return ended

    def release(self, pidfd: int) -> None:
        del self._owners[pidfd]
        self._epoll.unregister(pidfd)
        os.close(pidfd)

    def close(self) -> None:
        for pidfd in tuple(self._owners):
            self.release(pidfd)
        self._epoll.close()
