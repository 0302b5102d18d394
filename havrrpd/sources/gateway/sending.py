"""Sends one probe of a router by all its methods at once, and only from an address it holds."""

from __future__ import annotations

import errno
import random
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from havrrpd.closing import close_soon
from havrrpd.core.messages import ProbeGateway
from havrrpd.core.model import IPAddress
from havrrpd.sources.gateway import arp, icmp, ndp
from havrrpd.sources.gateway.kernel import Kernel
from havrrpd.sources.gateway.sockets import (
    ETH_P_ARP,
    Ear,
    Identity,
    open_arp,
    open_echo,
    open_kernel,
    open_ndp,
    send_from,
)

# The interface or its address is gone (the guard's refusal too), or nothing leads to the gateway.
_OF_THE_NETWORK = frozenset(
    {
        errno.ENETUNREACH,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENODEV,
        errno.ENXIO,
        errno.EADDRNOTAVAIL,
    }
)

EarKey = tuple[str, int, IPAddress | None]  # method, interface index, gateway


@dataclass(frozen=True, slots=True)
class Target:
    """Where a probe goes, without names: `index` 0 means as routed."""

    address: IPAddress
    interface: str | None
    index: int
    source: IPAddress


@dataclass(frozen=True, slots=True)
class Sent:
    """A probe on its way. `sent` has the monotonic time by method, `failed` what did not work."""

    target: Target
    sequence: int
    sent: dict[str, float]
    failed: dict[str, OSError]


class Sender:
    """One router's probing: its ears, its identifier, and what the kernel knows.

    `listen` is told of every ear that opens, `unlisten` before it closes.
    """

    def __init__(
        self, netns: Path, listen: Callable[[Sender, Ear], None], unlisten: Callable[[Ear], None]
    ) -> None:
        """Raises OSError when there is no such namespace."""
        self.netns = netns
        self.identity = Identity.of(netns)
        self._kernel: Kernel = open_kernel(netns)
        self._listen = listen
        self._unlisten = unlisten
        self._ears: dict[EarKey, Ear] = {}
        self._neighbours: set[tuple[IPAddress, int]] = set()
        self._identifier = random.getrandbits(16)

    def is_of(self, netns: Path) -> bool:
        """Whether `netns` still names the namespace that the ears are in; raises OSError."""
        return self.netns == netns and self.identity == Identity.of(netns)

    def expects(self, identifier: int) -> bool:
        return identifier == self._identifier

    def send(self, action: ProbeGateway, sequence: int) -> Sent:
        """Raises OSError when nothing was sent by any method: of the network's if there is one."""
        target = self._target(action)
        sent: dict[str, float] = {}
        failed: dict[str, OSError] = {}
        for method in methods_of(action):
            at = time.monotonic()
            try:
                self._transmit(method, target, sequence, named=action.source is not None)
            except OSError as error:
                failed[method] = error
            else:
                sent[method] = at
        if not sent:
            nothing = OSError(errno.EINVAL, "no method to probe by")
            raise max(failed.values(), key=is_of_the_network, default=nothing)
        return Sent(target, sequence, sent, failed)

    def drop(self, ear: Ear) -> None:
        """Close a broken ear: the next probe opens another."""
        self._ears = {key: kept for key, kept in self._ears.items() if kept is not ear}
        self._unlisten(ear)
        close_soon(ear.socket)

    def close(self) -> None:
        for ear in tuple(self._ears.values()):
            self.drop(ear)
        self._kernel.close()

    def forget_neighbours(self) -> Iterator[OSError]:
        """Stop the kernel's own questions about the gateways that were asked by ICMP.

        It repeats them for up to 8 seconds after our last packet: by then another node may be
        MASTER, and a frame from here would move the router's MAC on the switches.
        """
        for address, index in self._neighbours:
            try:
                self._kernel.forget_neighbour(address, index)
            except OSError as error:
                yield error

    def _target(self, action: ProbeGateway) -> Target:
        """The guard: raises EADDRNOTAVAIL unless the address to send from is there now."""
        address, interface = _without_scope(action.gateway.address), action.gateway.interface
        if isinstance(action.gateway.address, IPv6Address):
            interface = interface or action.gateway.address.scope_id
        index = self._kernel.interface_index(interface) if interface else 0
        if action.source is None:
            return self._routed_target(address, interface, index)
        source = _without_scope(action.source.ip)
        if not self._kernel.has_address(source, index):
            raise OSError(errno.EADDRNOTAVAIL, f"{source} is not an address of the router")
        return Target(address, interface, index, source)

    def _routed_target(self, address: IPAddress, interface: str | None, index: int) -> Target:
        route = self._kernel.route_to(address, index)
        if route.source is None or not self._kernel.may_use(route):
            raise OSError(errno.EADDRNOTAVAIL, "the interface has no address to send from")
        return Target(address, interface, index, route.source)

    def _transmit(self, method: str, target: Target, sequence: int, *, named: bool) -> None:
        if method == "icmp":
            self._transmit_echo(target, sequence)
        elif target.interface is None or not named:
            raise OSError(errno.EDESTADDRREQ, f"{method} needs an interface and a source address")
        elif isinstance(target.address, IPv4Address) and isinstance(target.source, IPv4Address):
            self._transmit_arp(target.interface, target.index, target.address, target.source)
        elif isinstance(target.address, IPv6Address):
            self._transmit_ndp(target.interface, target.index, target.address, target.source)

    def _transmit_echo(self, target: Target, sequence: int) -> None:
        version = target.address.version
        ear = self._ear(
            (f"icmp{version}", 0, None),
            lambda: open_echo(self.netns, version, self._identifier),
        )
        request = icmp.encode_request(version, self._identifier, sequence)
        self._neighbours.add(self._next_hop(target))
        send_from(ear.socket, request, target.address, target.source, target.index)

    def _next_hop(self, target: Target) -> tuple[IPAddress, int]:
        if target.index:
            return target.address, target.index
        route = self._kernel.route_to(target.address, 0)
        return route.via or target.address, route.index

    def _transmit_arp(
        self, interface: str, index: int, gateway: IPv4Address, source: IPv4Address
    ) -> None:
        ear = self._ear(("arp", index, gateway), lambda: open_arp(self.netns, interface, gateway))
        request = arp.encode_request(self._kernel.ethernet_address(interface), source, gateway)
        ear.socket.sendto(request, (interface, ETH_P_ARP, 0, 0, arp.BROADCAST))

    def _transmit_ndp(
        self, interface: str, index: int, gateway: IPv6Address, source: IPAddress
    ) -> None:
        ear = self._ear(("ndp", index, gateway), lambda: open_ndp(self.netns, interface, gateway))
        request = ndp.encode_solicitation(self._kernel.ethernet_address(interface), gateway)
        send_from(ear.socket, request, ndp.solicited_node(gateway), source, index)

    def _ear(self, key: EarKey, open_ear: Callable[[], Ear]) -> Ear:
        ear = self._ears.get(key)
        if ear is None:
            ear = self._ears[key] = open_ear()
            self._listen(self, ear)
        # An error of the past (the link was down for a moment) must not stop the next packet.
        ear.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return ear


def is_of_the_network(error: OSError) -> bool:
    """Whether the error counts as a failed probe; every other is the observer's own: no vote."""
    return error.errno in _OF_THE_NETWORK


def methods_of(action: ProbeGateway) -> tuple[str, ...]:
    """ "arp" stands for ARP or NDP, as the gateway's family asks."""
    neighbour = "arp" if action.gateway.address.version == 4 else "ndp"
    return tuple(dict.fromkeys("icmp" if m == "icmp" else neighbour for m in action.methods))


def _without_scope(address: IPAddress) -> IPAddress:
    return IPv4Address(address.packed) if address.version == 4 else IPv6Address(address.packed)
