"""The next hops of a namespace's default routes, from /proc/PID/net/route and ipv6_route.

The files show one next hop of an IPv4 route with several, and all of an IPv6 one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from havrrpd.core.model import Gateway

# linux/route.h
_UP, _GATEWAY, _REJECT, _CACHE = 0x1, 0x2, 0x200, 0x01000000
_NO_PREFIX4 = "00000000"
_NO_PREFIX6 = "0" * 32


def list_default_gateways(process: Path) -> tuple[Gateway, ...]:
    """Of the namespace that /proc/PID is in. Raises OSError when the process is gone."""
    with (process / "net/route").open(encoding="ascii", errors="replace") as lines:
        ipv4 = decode_ipv4(lines)
    try:
        with (process / "net/ipv6_route").open(encoding="ascii", errors="replace") as lines:
            return ipv4 + decode_ipv6(lines)
    except FileNotFoundError:  # a kernel without IPv6, else the first file were missing too
        return ipv4


def decode_ipv4(lines: Iterable[str]) -> tuple[Gateway, ...]:
    """The gateways of the default routes in a file like /proc/net/route, each once."""
    return tuple(dict.fromkeys(_ipv4_gateways(lines)))


def decode_ipv6(lines: Iterable[str]) -> tuple[Gateway, ...]:
    """The gateways of the default routes in a file like /proc/net/ipv6_route, each once."""
    return tuple(dict.fromkeys(_ipv6_gateways(lines)))


def _ipv4_gateways(lines: Iterable[str]) -> Iterator[Gateway]:
    for line in lines:
        fields = line.split()
        if len(fields) < 8 or fields[1] != _NO_PREFIX4 or fields[7] != _NO_PREFIX4:
            continue
        flags, via = _hex(fields[3]), _hex(fields[2])
        if via is None or not _usable(flags, fields[0]) or not 0 < via < 1 << 32:
            continue
        # The file prints the address as a number in the machine's byte order.
        yield Gateway(IPv4Address(via.to_bytes(4, sys.byteorder)), fields[0])


def _ipv6_gateways(lines: Iterable[str]) -> Iterator[Gateway]:
    for line in lines:
        fields = line.split()
        if len(fields) < 10 or fields[0] != _NO_PREFIX6 or fields[1] != "00":
            continue
        flags, via = _hex(fields[8]), _hex(fields[4])
        if via is None or not _usable(flags, fields[9]) or not 0 < via < 1 << 128:
            continue
        yield Gateway(IPv6Address(via), fields[9])


def _usable(flags: int | None, interface: str) -> bool:
    if flags is None or interface == "lo":
        return False
    return flags & (_UP | _GATEWAY) == _UP | _GATEWAY and not flags & (_REJECT | _CACHE)


def _hex(text: str) -> int | None:
    try:
        return int(text, 16)
    except ValueError:
        return None
