"""The sockets to listen on: TCP, and the Unix socket whose mode says who may give orders."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

SOCKET_MODE = 0o660
_BACKLOG = 128


class SocketInUseError(OSError):
    """Somebody answers on the Unix socket, or its path is something else."""


@contextmanager
def listening_tcp(host: str, port: int) -> Iterator[socket.socket]:
    """`host` is an IP address. Raises OSError when the address can't be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family, backlog=_BACKLOG) as listener:
        listener.setblocking(False)
        yield listener


@contextmanager
def listening_unix(path: str) -> Iterator[socket.socket]:
    """A stale socket file is replaced; ours goes at the end. Raises SocketInUseError, OSError."""
    _remove_stale(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        inode = os.stat(path).st_ino
        try:
            os.chmod(path, SOCKET_MODE)  # nobody connects before its mode is right
            listener.listen(_BACKLOG)
            listener.setblocking(False)
            yield listener
        finally:
            with suppress(FileNotFoundError):
                if os.stat(path).st_ino == inode:
                    os.unlink(path)


def _remove_stale(path: str) -> None:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise SocketInUseError(f"{path}: is not a socket; remove it, or set paths.socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except TimeoutError:
            pass  # somebody listens, and is too busy to accept
    raise SocketInUseError(f"{path}: socket already in use: another havrrpd runs on this node")
