"""One address in a router's namespace, that comes and goes by netlink."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Sequence

from pyroute2.netlink.rtnl import RTM_DELADDR, RTM_NEWADDR

from havrrpd.lab.node import Node
from tests.bench.crowd import address_message

_AT_ONCE = 50  # messages in one call


class Address:
    """Holds a socket inside the namespace, and so the namespace: close it."""

    def __init__(self, node: Node, namespace: str, address: str, interface: str) -> None:
        def opened() -> tuple[socket.socket, int]:
            netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
            netlink.bind((0, 0))
            return netlink, socket.if_nametoindex(interface)

        self._netlink, index = node.inside(opened, namespace)
        self._addition = address_message(RTM_NEWADDR, address, index)
        self._removal = address_message(RTM_DELADDR, address, index)

    def add(self) -> float:
        """The wall clock just before. OSError when the kernel refuses."""
        began = time.time()
        self._change([self._addition])
        return began

    def remove(self) -> float:
        began = time.time()
        self._change([self._removal])
        return began

    def flap(self, times: int) -> None:
        """Add and remove it so often, as fast as the kernel does it."""
        for start in range(0, times, _AT_ONCE):
            self._change([self._addition, self._removal] * min(_AT_ONCE, times - start))

    def close(self) -> None:
        self._netlink.close()

    def _change(self, messages: Sequence[bytes]) -> None:
        self._netlink.send(b"".join(messages))
        answers = 0
        while answers < len(messages):
            data = self._netlink.recv(65536)
            while data:
                length, _, _, _, _, error = struct.unpack_from("=IHHIIi", data)
                if error:
                    raise OSError(-error, os.strerror(-error))
                answers, data = answers + 1, data[(length + 3) & ~3 :]
