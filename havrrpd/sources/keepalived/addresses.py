"""One line of virtual_ipaddress or virtual_routes -> what it says. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)

from havrrpd.core.model import (
    IPAddress,
    IPInterface,
    IPNetwork,
    VirtualAddress,
    VirtualRoute,
)
from havrrpd.sources.keepalived import keywords

MAX_INTERFACE_BYTES = 15  # IFNAMSIZ - 1
_DEFAULTS = ("default", "any", "all", "default6")
_ALL_OF_IPV4, _ALL_OF_IPV6 = IPv4Network("0.0.0.0/0"), IPv6Network("::/0")


def read_address(words: Sequence[str], *, excluded: bool) -> VirtualAddress:
    """An address of virtual_ipaddress; without `dev` its interface is "", and goes by the instance.

    Raises ValueError for what keepalived would not take either.
    """
    address, interface = _interface(words[0]), ""
    rest = iter(words[1:])
    for word in rest:
        match word:
            case "dev":
                interface = read_interface(_value(rest))
            case "peer":
                address = _with_prefix(address.ip, _interface(_value(rest)).network.prefixlen)
            case _ if word in keywords.ADDRESS_OPTIONS:
                _value(rest)
            case _ if word not in keywords.ADDRESS_FLAGS:
                raise ValueError(f"unknown word: {word}")
    return VirtualAddress(address, interface, excluded)


def read_routes(words: Sequence[str]) -> list[VirtualRoute]:
    """A line of virtual_routes: one route for each of its next hops.

    Raises ValueError for what keepalived would not take either.
    """
    destination: str | None = None
    family: int | None = None
    hops: list[tuple[IPAddress | None, str | None]] = [(None, None)]
    rest = iter(words)
    for word in rest:
        match word:
            case "inet" | "inet6":
                family = 6 if word == "inet6" else 4
            case "via" | "gw":
                hops[-1] = (_next_hop(rest), hops[-1][1])
            case "dev" | "oif":
                hops[-1] = (hops[-1][0], read_interface(_value(rest)))
            case "or":  # the old way to say: a second next hop
                hops.append((_next_hop(rest), None))
            case "nexthop":
                hops.append((None, None))
            case "to":
                destination = _value(rest)
            case _ if word in keywords.ROUTE_LOCKABLE:
                if _value(rest) == "lock":
                    _value(rest)
            case _ if word in keywords.ROUTE_OPTIONS:
                _value(rest)
            case _ if word not in keywords.ROUTE_FLAGS | keywords.ROUTE_TYPES:
                destination = word
    if destination is None:
        raise ValueError("no destination")
    if len(hops) > 1 and hops[0] == (None, None):
        hops = hops[1:]
    via = next((hop for hop, _ in hops if hop is not None), None)
    network = _network(destination, family or (via.version if via else None))
    return [VirtualRoute(network, hop, interface) for hop, interface in hops]


def read_ip(text: str) -> IPAddress:
    """As inet_pton: no scope, no prefix. Raises ValueError."""
    if "%" in text:
        raise ValueError(f"a scope: {text}")
    return IPv6Address(text) if ":" in text else IPv4Address(text)


def read_interface(text: str) -> str:
    """A name that the kernel could give an interface. Raises ValueError."""
    too_long = len(text.encode()) > MAX_INTERFACE_BYTES
    if not text or too_long or "/" in text or any(each.isspace() for each in text):
        raise ValueError(f"not an interface: {text}")
    return text


def _next_hop(rest: Iterator[str]) -> IPAddress:
    word = _value(rest)
    return read_ip(_value(rest) if word in ("inet", "inet6") else word)


def _value(rest: Iterator[str]) -> str:
    try:
        return next(rest)
    except StopIteration:
        raise ValueError("a value is missing") from None


def _interface(text: str) -> IPInterface:
    """A prefix that is none counts as a host's, as with keepalived."""
    address_text, _, prefix = text.partition("/")
    address = read_ip(address_text)
    if not (prefix.isascii() and prefix.isdigit() and int(prefix[:4]) <= address.max_prefixlen):
        return _with_prefix(address, address.max_prefixlen)
    return _with_prefix(address, int(prefix))


def _with_prefix(address: IPAddress, prefix: int) -> IPInterface:
    if isinstance(address, IPv4Address):
        return IPv4Interface((int(address), prefix))
    return IPv6Interface((int(address), prefix))


def _network(text: str, family: int | None) -> IPNetwork:
    if text in _DEFAULTS:
        return _ALL_OF_IPV6 if family == 6 or text == "default6" else _ALL_OF_IPV4
    return _interface(text).network
