"""What is asked of the kernel: which namespace is behind a path, and what it holds.

Nothing enters a namespace: the answers are asked for by its nsid (NETLINK_GET_STRICT_CHK and
IFA_TARGET_NETNSID), 0.1 ms each. A descriptor on a namespace keeps it and its interfaces alive, so
one is held only while it is listed.
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from havrrpd.sources.netlink.decode import (
    NETNSA_FD,
    NETNSA_NSID,
    NLMSG_DONE,
    NLMSG_ERROR,
    RTM_GETADDR,
    RTM_GETLINK,
    RTM_GETNSID,
    RTM_NEWNSID,
    Message,
    Packet,
    decode,
    error_of,
    nsid_of,
    split,
)

OWN = -1  # stands for our own namespace: the kernel gives it no number among its own events

_SOL_NETLINK = 270
_NETLINK_ADD_MEMBERSHIP = 1
_NETLINK_LISTEN_ALL_NSID = 8
_NETLINK_GET_STRICT_CHK = 12
_RTNLGRP_LINK, _RTNLGRP_IPV4_IFADDR, _RTNLGRP_IPV6_IFADDR, _RTNLGRP_NSID = 1, 5, 9, 28
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h: beyond net.core.rmem_max, with CAP_NET_ADMIN
_SIOCGSKNS = 0x894C  # linux/sockios.h: a descriptor on a socket's namespace
_NLM_F_REQUEST, _NLM_F_MULTI, _NLM_F_ACK, _NLM_F_DUMP = 0x1, 0x2, 0x4, 0x300
_NLM_F_DUMP_INTR = 0x10
_IFLA_TARGET_NETNSID, _IFA_TARGET_NETNSID = 46, 10
_IFINFOMSG_SIZE, _IFADDRMSG_SIZE, _RTGENMSG_SIZE = 16, 8, 4
_LISTING_ATTEMPTS = 5
_REPLY_SIZE = 65536  # a dump comes in parts of at most 32 KiB
_EVENT_SIZE = 32768


def open_follower(receive_buffer: int) -> socket.socket:
    """A socket that hears the links and addresses of every namespace that has an nsid."""
    follower = _open_socket(socket.SOCK_NONBLOCK)
    try:
        try:
            follower.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, receive_buffer)
        except PermissionError:
            follower.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        follower.setsockopt(_SOL_NETLINK, _NETLINK_LISTEN_ALL_NSID, 1)
        for group in (_RTNLGRP_LINK, _RTNLGRP_IPV4_IFADDR, _RTNLGRP_IPV6_IFADDR, _RTNLGRP_NSID):
            follower.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, group)
    except OSError:
        follower.close()
        raise
    return follower


def receive(follower: socket.socket) -> tuple[int, bytes] | None:
    """The next datagram and the nsid it came from; None: there is none.

    Raises OSError with ENOBUFS when the kernel had to drop some.
    """
    while True:
        try:
            data, ancillary, flags, sender = follower.recvmsg(_EVENT_SIZE, socket.CMSG_SPACE(4))
        except BlockingIOError:
            return None
        if flags & socket.MSG_TRUNC:
            raise OSError(errno.ENOBUFS, "a message was longer than the buffer")
        if sender[0] == 0:  # the kernel, not another process
            return _nsid_among(ancillary), data


class Kernel:
    """A socket to ask with. Every answer is there at once: asking does not wait for the network."""

    def __init__(self) -> None:
        self._socket = _open_socket(0)
        self._sequence = itertools.count(1)
        try:
            self._socket.settimeout(1.0)
            self._socket.setsockopt(_SOL_NETLINK, _NETLINK_GET_STRICT_CHK, 1)
        except OSError:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._socket.close()

    def list_path(self, path: Path) -> tuple[int, list[Message]]:
        """The nsid of the namespace at `path`, given to it if it has none, and what it holds.

        Raises OSError: ENOENT where nothing is at the path, EINVAL where it is no namespace.
        """
        with _opened(path) as descriptor:
            nsid = OWN if self._is_own(descriptor) else self._nsid(descriptor)
            return nsid, self.list_nsid(nsid)

    def list_nsid(self, nsid: int) -> list[Message]:
        """The links and addresses of a namespace. Raises OSError, EINVAL for an unknown nsid."""
        # No IFLA_EXT_MASK, to be spared the statistics: with one the kernel first sizes up each
        # link of our own namespace, 0.3 ms where there are a thousand (rtnl_calcit).
        link, address = bytes(_IFINFOMSG_SIZE), bytes(_IFADDRMSG_SIZE)
        if nsid != OWN:
            link += _attribute(_IFLA_TARGET_NETNSID, nsid)
            address += _attribute(_IFA_TARGET_NETNSID, nsid)
        return self._dump(RTM_GETLINK, link) + self._dump(RTM_GETADDR, address)

    def _is_own(self, descriptor: int) -> bool:
        # Not /proc/self/ns/net: a mount namespace can lack /proc or have that of others.
        own = fcntl.ioctl(self._socket, _SIOCGSKNS)
        try:
            return os.path.sameopenfile(own, descriptor)
        finally:
            os.close(own)

    def _nsid(self, descriptor: int) -> int:
        behind = bytes(_RTGENMSG_SIZE) + _attribute(NETNSA_FD, descriptor)
        nsid = self._ask_nsid(behind)
        if nsid is None:
            with suppress(FileExistsError):  # somebody else was faster: as good
                self._ask(RTM_NEWNSID, _NLM_F_ACK, behind + _attribute(NETNSA_NSID, -1))
            nsid = self._ask_nsid(behind)
        if nsid is None:
            raise OSError(errno.ESRCH, "the namespace has no nsid after one was assigned")
        return nsid

    def _ask_nsid(self, behind: bytes) -> int | None:
        return nsid_of(self._ask(RTM_GETNSID, 0, behind)[0])

    def _dump(self, kind: int, body: bytes) -> list[Message]:
        for _ in range(_LISTING_ATTEMPTS):
            packets = self._ask(kind, _NLM_F_DUMP, body)
            if not any(packet.flags & _NLM_F_DUMP_INTR for packet in packets):
                return [message for packet in packets if (message := decode(packet))]
        raise InterruptedError(errno.EINTR, "the namespace changes faster than it can be listed")

    def _ask(self, kind: int, flags: int, body: bytes) -> list[Packet]:
        sequence = next(self._sequence) & 0xFFFFFFFF
        header = struct.pack("=IHHII", 16 + len(body), kind, _NLM_F_REQUEST | flags, sequence, 0)
        self._socket.send(header + body)
        replies: list[Packet] = []
        while True:
            for packet in split(self._socket.recv(_REPLY_SIZE)):
                if packet.sequence != sequence:  # of a question that was given up
                    continue
                replies.append(packet)
                if packet.kind in (NLMSG_ERROR, NLMSG_DONE) and (code := error_of(packet)):
                    raise OSError(code, os.strerror(code))
                if packet.kind == NLMSG_DONE or not packet.flags & _NLM_F_MULTI:
                    return replies


def _open_socket(flags: int) -> socket.socket:
    opened = socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | flags, socket.NETLINK_ROUTE
    )
    opened.bind((0, 0))
    return opened


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    # O_NONBLOCK: whatever lies at the path, opening it must not wait.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _attribute(kind: int, value: int) -> bytes:
    return struct.pack("=HHI", 8, kind, value & 0xFFFFFFFF)


def _nsid_among(ancillary: list[tuple[int, int, bytes]]) -> int:
    for level, kind, value in ancillary:
        if (level, kind) == (_SOL_NETLINK, _NETLINK_LISTEN_ALL_NSID):
            return int(struct.unpack("=i", value)[0])
    return OWN
