"""One packet socket on one interface that hears adverts, in both directions."""

from __future__ import annotations

import os
import socket
import struct
from array import array
from fcntl import ioctl

from havrrpd.closing import close_soon
from havrrpd.netns import open_inside
from havrrpd.sources.adverts.filter import advert_filter

_ETH_P_ALL = 3  # outgoing packets reach no narrower tap
_SO_ATTACH_FILTER = 26
_SOL_PACKET, _PACKET_STATISTICS = 263, 6
_SIOCGIFINDEX = 0x8933
_PACKET_OUTGOING = 4

# Bytes asked for; the kernel doubles it. Holds about 170 adverts; memory is used only while full.
_RECEIVE_BUFFER = 64 * 1024
_LARGEST_ADVERT = 40 + 24 + 8 + 255 * 16  # IPv6, AH, header, addresses


class Tap:
    """An open tap. When its link goes down or away, `read` raises OSError once."""

    def __init__(self, netns: int, interface: str) -> None:
        """Open it in the namespace behind `netns`. Raises OSError; also if the link is down."""
        self._interface = interface
        self._socket, self._index = open_inside(netns, lambda: _open(interface))

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        close_soon(self._socket)

    def narrow(self, vrids: frozenset[int]) -> None:
        """Pass only the adverts of `vrids` from now on."""
        _attach(self._socket, advert_filter(vrids))

    def widen(self) -> None:
        """Pass the adverts of every VRID from now on."""
        _attach(self._socket, advert_filter())

    def read(self) -> tuple[bytes, bool] | None:
        """The next packet that waits, from the IP header on, and whether we sent it."""
        try:
            packet, address = self._socket.recvfrom(_LARGEST_ADVERT)
        except BlockingIOError:
            return None
        return packet, address[2] == _PACKET_OUTGOING

    def take_drops(self) -> int:
        """How many packets the kernel dropped since the last call, as the buffer was full."""
        statistics = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        return int(struct.unpack("II", statistics)[1])

    def is_current(self) -> bool:
        """Whether the interface's name still belongs to the link that is tapped."""
        try:
            return _index(self._socket, self._interface) == self._index
        except OSError:
            return False


def _open(interface: str) -> tuple[socket.socket, int]:
    """The socket and its interface's index. Protocol 0 until bind: nothing comes in unfiltered."""
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, 0)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        _attach(opened, advert_filter())
        opened.bind((interface, _ETH_P_ALL))
        # A link that is down can be bound to: the error only waits in the socket.
        error = opened.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))
        return opened, _index(opened, interface)
    except BaseException:
        opened.close()
        raise


def _attach(tap: socket.socket, program: bytes) -> None:
    """SO_ATTACH_FILTER with a struct sock_fprog; replaces the filter that was there."""
    instructions = array("B", program)  # a type of ctypes would wait for the garbage collector
    pointer = struct.pack("HP", len(program) // 8, instructions.buffer_info()[0])
    tap.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, pointer)


def _index(tap: socket.socket, interface: str) -> int:
    """The interface's index in the namespace of the socket, wherever the caller is."""
    request = struct.pack("16si20x", interface.encode(), 0)  # struct ifreq
    return int(struct.unpack("16xi20x", ioctl(tap, _SIOCGIFINDEX, request))[0])
