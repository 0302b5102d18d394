"""What the kernel of a namespace says of addresses, routes and neighbours: one netlink socket.

Why not bind() as the test of an address: with `ip_nonlocal_bind`, which load balancers set, it
succeeds for every address. The kernel answers a request before send() returns, so no reply is
ever waited for. Layouts: rtnetlink(7); one question costs about 10 us.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

from msgspec import Struct

from havrrpd.core.model import IPAddress

_NEWADDR, _GETADDR = 20, 22
_NEWROUTE, _GETROUTE = 24, 26
_NEWNEIGH, _DELNEIGH, _GETNEIGH = 28, 29, 30
_ERROR = 2
_REQUEST, _ACK = 1, 4
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_RTM = struct.Struct("=BBBBBBBBI")
_IFA = struct.Struct("=BBBBI")
_NDM = struct.Struct("=BxxxiHBB")
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PREFSRC = 1, 4, 5, 7
_IFA_ADDRESS = 1
_NDA_DST = 1
_RTN_LOCAL = 2
_TENTATIVE_OR_DUPLICATE = 0x40 | 0x08  # IFA_F_TENTATIVE, IFA_F_DADFAILED
_LASTING = 0x80 | 0x40  # NUD_PERMANENT, NUD_NOARP
_SIOCGIFNAME, _SIOCGIFADDR, _SIOCGIFHWADDR, _SIOCGIFINDEX = 0x8910, 0x8915, 0x8927, 0x8933
_ARPHRD_ETHER = 1

Attributes = dict[int, bytes]


@dataclass(frozen=True, slots=True)
class Route:
    """How the kernel would reach an address. `source` None: it has no address to send from."""

    index: int
    via: IPAddress | None
    source: IPAddress | None


class Link(Struct, frozen=True):
    """What two ioctls said of an interface. Equal: it is still the same, with the same address."""

    numbered: bytes
    addressed: bytes

    @property
    def index(self) -> int:
        return int(struct.unpack_from("=i", self.numbered)[0])

    @property
    def ethernet_address(self) -> bytes:
        """Raises OSError where it is no Ethernet interface."""
        if struct.unpack_from("=H", self.addressed)[0] != _ARPHRD_ETHER:
            raise OSError(errno.EPROTONOSUPPORT, "it is not an Ethernet interface")
        return self.addressed[2:8]


class Message(Struct, frozen=True):
    """One netlink message: `fixed` is the part before the attributes."""

    kind: int
    sequence: int
    body: bytes

    def attributes(self, fixed: int) -> Attributes:
        return dict(_decode_attributes(self.body[fixed:]))


class Kernel:
    """Asks the kernel from one namespace, and never waits for it. Raises OSError."""

    def __init__(self, netlink: socket.socket, inet: socket.socket) -> None:
        self._netlink = netlink
        self._inet = inet  # for what only an ioctl tells
        self._sequence = 0

    @classmethod
    def open(cls) -> Kernel:
        """In the namespace of the calling thread."""
        netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        netlink.setblocking(False)
        return cls(netlink, socket.socket(socket.AF_INET, socket.SOCK_DGRAM))

    def close(self) -> None:
        self._netlink.close()
        self._inet.close()

    def link(self, name: str) -> Link:
        """The interface of that name as it is now; raises ENODEV where there is none."""
        request = _ifreq(name)
        return Link(
            fcntl.ioctl(self._inet, _SIOCGIFINDEX, request)[16:],
            fcntl.ioctl(self._inet, _SIOCGIFHWADDR, request)[16:],
        )

    def may_use(self, route: Route) -> bool:
        """Whether the interface that the route leaves by has an address of its own to send from.

        Else the kernel takes one of another interface: a frame from where the node is not MASTER.
        """
        if route.source is None:
            return False
        if route.source.version == 6:
            return self.has_address(route.source, route.index)
        try:
            name = fcntl.ioctl(self._inet, _SIOCGIFNAME, struct.pack("=16xi20x", route.index))
            fcntl.ioctl(self._inet, _SIOCGIFADDR, name)
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                return False
            raise
        return True

    def has_address(self, address: IPAddress, index: int) -> bool:
        """Whether one may send from `address` now; an IPv6 one must be on interface `index`.

        `index` 0: on any interface.
        """
        try:
            if address.version == 4:
                return self._route_type(address) == _RTN_LOCAL
            return not self._low_flags(address, index) & _TENTATIVE_OR_DUPLICATE
        except OSError as error:
            if error.errno in (errno.EADDRNOTAVAIL, errno.ENETUNREACH, errno.EHOSTUNREACH):
                return False
            raise

    def route_to(self, address: IPAddress, index: int) -> Route:
        """`index` 0: by any interface. Raises OSError (ENETUNREACH) where there is no route."""
        out = {_RTA_OIF: struct.pack("=i", index)} if index else {}
        found = self._get_route(address, out).attributes(_RTM.size)
        oif = found.get(_RTA_OIF, bytes(4))
        return Route(
            index=int(struct.unpack("=i", oif)[0]),
            via=_address(found.get(_RTA_GATEWAY)),
            source=_address(found.get(_RTA_PREFSRC)),
        )

    def forget_neighbour(self, address: IPAddress, index: int) -> None:
        """Make the kernel stop asking for `address`; an entry that an operator made stays."""
        family = _family(address)
        target = {_NDA_DST: address.packed}
        try:
            entry = self._ask(_GETNEIGH, _NDM.pack(family, index, 0, 0, 0), target, _NEWNEIGH)
            if len(entry.body) >= _NDM.size and not _NDM.unpack_from(entry.body)[2] & _LASTING:
                self._ask(_DELNEIGH, _NDM.pack(family, index, 0, 0, 0), target, _ERROR, _ACK)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENODEV, errno.EINVAL):
                raise

    def _route_type(self, address: IPAddress) -> int:
        return self._get_route(address, {}).body[7]

    def _get_route(self, address: IPAddress, out: Attributes) -> Message:
        fixed = _RTM.pack(_family(address), address.max_prefixlen, 0, 0, 0, 0, 0, 0, 0)
        return self._ask(_GETROUTE, fixed, {_RTA_DST: address.packed, **out}, _NEWROUTE)

    def _low_flags(self, address: IPAddress, index: int) -> int:
        fixed = _IFA.pack(_family(address), 0, 0, 0, index)
        return self._ask(_GETADDR, fixed, {_IFA_ADDRESS: address.packed}, _NEWADDR).body[2]

    def _ask(
        self, kind: int, fixed: bytes, attributes: Attributes, answer: int, flags: int = 0
    ) -> Message:
        """The kernel's answer of type `answer`. An error that it answers is raised."""
        self._sequence = self._sequence % 0xFFFFFFFF + 1
        self._netlink.send(encode(kind, _REQUEST | flags, self._sequence, fixed, attributes))
        while True:  # ends at the latest with BlockingIOError
            for message in decode(self._netlink.recv(8192)):
                if message.sequence != self._sequence:
                    continue
                if message.kind == _ERROR:
                    _raise_error(message)
                if message.kind == answer:
                    return message


def encode(kind: int, flags: int, sequence: int, fixed: bytes, attributes: Attributes) -> bytes:
    body = fixed + b"".join(_encode_attribute(t, value) for t, value in attributes.items())
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, sequence, 0) + body


def decode(data: bytes) -> Iterator[Message]:
    while len(data) >= _HEADER.size:
        length, kind, _, sequence, _ = _HEADER.unpack_from(data)
        if not _HEADER.size <= length <= len(data):
            return
        yield Message(kind, sequence, data[_HEADER.size : length])
        data = data[(length + 3) & ~3 :]


def _encode_attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(4 + len(value), kind) + value  # all values are whole words


def _decode_attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        if not _ATTRIBUTE.size <= length <= len(data):
            return
        yield kind & 0x3FFF, data[_ATTRIBUTE.size : length]
        data = data[(length + 3) & ~3 :]


def _raise_error(message: Message) -> None:
    code = -int(struct.unpack_from("=i", message.body)[0])
    if code:
        raise OSError(code, os.strerror(code))


def _family(address: IPAddress) -> int:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def _address(packed: bytes | None) -> IPAddress | None:
    """None for what is no address, and for the unspecified one."""
    if packed is None or len(packed) not in (4, 16) or not any(packed):
        return None
    return IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)


@lru_cache(maxsize=4096)
def _ifreq(name: str) -> bytes:
    raw = name.encode()
    if len(raw) > 15:
        raise OSError(errno.ENODEV, f"no interface can be called {name}")
    return struct.pack("=16s24x", raw)
