"""Sends one probe of a router by all its methods at once, and only from an address it holds."""

from __future__ import annotations

import errno
import random
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from msgspec import Struct

from havrrpd.closing import close_soon
from havrrpd.core.messages import ProbeGateway
from havrrpd.core.model import Gateway, IPAddress, IPInterface
from havrrpd.sources.gateway import arp, icmp, ndp
from havrrpd.sources.gateway.kernel import Kernel, Link
from havrrpd.sources.gateway.sockets import (
    ETH_P_ARP,
    Ear,
    Way,
    open_arp,
    open_echo,
    open_kernel,
    open_ndp,
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

EarKey = tuple[str, int, bytes]  # method, interface index, gateway
Transmit = Callable[[int], None]  # of the packet with that sequence number; raises OSError


@dataclass(frozen=True, slots=True)
class Target:
    """Where a probe goes, without names: `index` 0 means as routed."""

    address: IPAddress
    interface: str | None
    index: int
    source: IPAddress


class Sent(Struct, frozen=True):
    """A probe on its way. `sent` has the monotonic time by method, `failed` what did not work."""

    target: Target
    sequence: int
    sent: dict[str, float]
    failed: dict[str, OSError]


@dataclass(frozen=True, slots=True)
class Plan:
    """How a gateway is probed from an address, while its interface stays what it is.

    `guarded`: the kernel refuses the first to be sent unless the source address is there.
    """

    source: IPInterface | None
    methods: tuple[str, ...]
    link: Link | None  # None: no interface is named, and routes change: made for one probe
    target: Target
    transmits: tuple[tuple[str, Transmit], ...]
    guarded: bool


class Sender:
    """One router's probing: its ears, its identifier, and what the kernel knows.

    `listen` is told of every ear that opens, `unlisten` before it closes.
    """

    def __init__(
        self, netns: Path, listen: Callable[[Sender, Ear], None], unlisten: Callable[[Ear], None]
    ) -> None:
        """Raises OSError when there is no such namespace."""
        self.netns = netns
        self._kernel: Kernel = open_kernel(netns)
        self._listen = listen
        self._unlisten = unlisten
        self._ears: dict[EarKey, Ear] = {}
        self._plans: dict[Gateway, Plan] = {}
        self._neighbours: set[tuple[IPAddress, int]] = set()
        self._identifier = random.getrandbits(16)

    def expects(self, identifier: int) -> bool:
        return identifier == self._identifier

    def send(self, action: ProbeGateway, sequence: int) -> Sent:
        """Raises OSError when nothing was sent by any method: of the network's if there is one."""
        plan = self._plan(action)
        if not plan.guarded:
            self._guard(plan.target)
        sent: dict[str, float] = {}
        failed: dict[str, OSError] = {}
        for method, transmit in plan.transmits:
            at = time.monotonic()
            try:
                _send_now(transmit, sequence)
            except OSError as error:
                failed[method] = OSError(*error.args)  # that one holds this frame, and it this dict
                if plan.guarded:
                    self._guard(plan.target)
            else:
                sent[method] = at
        if not sent:
            worst = max(failed.values(), key=is_of_the_network, default=None)
            raise OSError(*worst.args) if worst else OSError(errno.EINVAL, "no method to probe by")
        return Sent(plan.target, sequence, sent, failed)

    def drop(self, ear: Ear) -> None:
        """Close a broken ear: the next probe opens another."""
        self._ears = {key: kept for key, kept in self._ears.items() if kept is not ear}
        self._unlisten(ear)
        close_soon(ear.socket)

    def close(self) -> None:
        for ear in tuple(self._ears.values()):
            self.drop(ear)
        self._kernel.close()
        self._plans.clear()  # they hold this sender, which would wait for the garbage collector

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

    # --- what is the same for all probes of a gateway ---

    def _plan(self, action: ProbeGateway) -> Plan:
        address, interface = action.gateway.address, action.gateway.interface
        if isinstance(address, IPv6Address):
            interface = interface or address.scope_id
        link = self._kernel.link(interface) if interface else None
        known = self._plans.get(action.gateway)
        asked = (action.source, action.methods)
        if known and known.link == link and (known.source, known.methods) == asked:
            return known
        plan = self._new_plan(action, interface, link)
        if link and action.source:
            self._plans[action.gateway] = plan
        return plan

    def _new_plan(self, action: ProbeGateway, interface: str | None, link: Link | None) -> Plan:
        target = self._target(action, interface, link.index if link else 0)
        self._neighbours.add(self._next_hop(target))
        methods = methods_of(action)
        guarded = target.address.version == 4 and action.source is not None and "icmp" in methods
        if guarded:
            methods = tuple(sorted(methods, key=lambda method: method != "icmp"))
        named = link if action.source is not None else None
        transmits = tuple((method, self._transmit(method, target, named)) for method in methods)
        return Plan(action.source, action.methods, link, target, transmits, guarded)

    def _target(self, action: ProbeGateway, interface: str | None, index: int) -> Target:
        address = _without_scope(action.gateway.address)
        if action.source is not None:
            return Target(address, interface, index, _without_scope(action.source.ip))
        route = self._kernel.route_to(address, index)
        if route.source is None or not self._kernel.may_use(route):
            raise OSError(errno.EADDRNOTAVAIL, "the interface has no address to send from")
        return Target(address, interface, index, route.source)

    def _next_hop(self, target: Target) -> tuple[IPAddress, int]:
        if target.index:
            return target.address, target.index
        route = self._kernel.route_to(target.address, 0)
        return route.via or target.address, route.index

    def _guard(self, target: Target) -> None:
        """Raises EADDRNOTAVAIL unless the address to send from is there now."""
        if not self._kernel.has_address(target.source, target.index):
            raise OSError(errno.EADDRNOTAVAIL, f"{target.source} is not an address of the router")

    # --- the methods ---

    def _transmit(self, method: str, target: Target, link: Link | None) -> Transmit:
        if method == "icmp":
            return self._echo(target)
        if target.interface is None or link is None:
            return partial(_refuse, method)
        if isinstance(target.address, IPv4Address) and isinstance(target.source, IPv4Address):
            return self._arp(target.interface, link, target.address, target.source)
        assert isinstance(target.address, IPv6Address)
        return self._ndp(target.interface, link, target.address, target.source)

    def _echo(self, target: Target) -> Transmit:
        version = target.address.version
        way = Way.of(target.address, target.source, target.index)

        def transmit(sequence: int) -> None:
            ear = self._ear(
                (f"icmp{version}", 0, b""),
                lambda: open_echo(self.netns, version, self._identifier),
            )
            way.send(ear.socket, icmp.encode_request(version, self._identifier, sequence))

        return transmit

    def _arp(
        self, interface: str, link: Link, gateway: IPv4Address, source: IPv4Address
    ) -> Transmit:
        key = ("arp", link.index, gateway.packed)
        request = arp.encode_request(link.ethernet_address, source, gateway)
        destination = (interface, ETH_P_ARP, 0, 0, arp.BROADCAST)

        def transmit(_sequence: int) -> None:
            ear = self._ear(key, lambda: open_arp(self.netns, interface, gateway))
            ear.socket.sendto(request, destination)

        return transmit

    def _ndp(self, interface: str, link: Link, gateway: IPv6Address, source: IPAddress) -> Transmit:
        key = ("ndp", link.index, gateway.packed)
        request = ndp.encode_solicitation(link.ethernet_address, gateway)
        way = Way.of(ndp.solicited_node(gateway), source, link.index)

        def transmit(_sequence: int) -> None:
            ear = self._ear(key, lambda: open_ndp(self.netns, interface, gateway))
            way.send(ear.socket, request)

        return transmit

    def _ear(self, key: EarKey, open_ear: Callable[[], Ear]) -> Ear:
        ear = self._ears.get(key)
        if ear is None:
            ear = self._ears[key] = open_ear()
            self._listen(self, ear)
        return ear


def _send_now(transmit: Transmit, sequence: int) -> None:
    """An error of the past (the link was down for a moment) is told once, in place of a packet."""
    try:
        transmit(sequence)
    except OSError:
        transmit(sequence)


def _refuse(method: str, _sequence: int) -> None:
    raise OSError(errno.EDESTADDRREQ, f"{method} needs an interface and a source address")


def is_of_the_network(error: OSError) -> bool:
    """Whether the error counts as a failed probe; every other is the observer's own: no vote."""
    return error.errno in _OF_THE_NETWORK


def methods_of(action: ProbeGateway) -> tuple[str, ...]:
    """ "arp" stands for ARP or NDP, as the gateway's family asks."""
    neighbour = "arp" if action.gateway.address.version == 4 else "ndp"
    return tuple(dict.fromkeys("icmp" if m == "icmp" else neighbour for m in action.methods))


def together(methods: Iterable[str]) -> str:
    """What a probe by several methods is called, in whatever order they were sent."""
    return "+".join(sorted(methods, key=lambda method: method == "icmp"))


def _without_scope(address: IPAddress) -> IPAddress:
    return IPv4Address(address.packed) if address.version == 4 else IPv6Address(address.packed)
