"""The cables: bridges on a switch of the lab's own, and a cable from each to every node.

A node has one cable per network (`eth-mgmt`, `eth-ovl`, `eth-prov`). What the overlay carries is
in `overlay`. Nothing of it is in the host's network namespace.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path

import havrrpd
from havrrpd.lab.node import Node
from havrrpd.lab.overlay import bridge, vtep
from havrrpd.lab.process import Process
from havrrpd.lab.switch import READY
from havrrpd.lab.waiting import LabError, wait_until


class Network(StrEnum):
    MANAGEMENT = "mgmt"
    OVERLAY = "ovl"  # VXLAN: the hidden HA networks and the projects' own
    PROVIDER = "prov"  # the routers' outside, qg-, with the upstream gateway


UPSTREAM = "upstream"
UPSTREAM_ADDRESSES = ("203.0.113.1/24", "fd00:203:0:113::1/64")
PROVIDER_BRIDGE = bridge("provider")

# No IPv6 of their own: a bridge or a cable must not speak on the networks that it carries.
_QUIET = "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6\n"
_BRIDGE = """
ip link add {0} type bridge forward_delay 0 stp_state 0 mcast_snooping 0
ip link set {0} up
"""


def make_switch(switch: Node, slow: Network | None = None) -> None:
    """Its bridges; none for a network that `start_late_switch` serves."""
    bridges = (_BRIDGE.format(f"br-{network}") for network in Network if network is not slow)
    switch.shell(_QUIET + "".join(bridges))


def management_address(number: int) -> str:
    return f"192.0.2.{number}"


def connect(
    switch: Node, node: Node, number: int, networks: Iterable[Network], slow: Network | None = None
) -> None:
    """Lay a cable from the switch to the node for each network, and give the node its addresses."""
    script = _QUIET
    for network in networks:
        cable = f"eth-{network}"
        _lay_cable(switch, port(network, node.name), network, node, cable, late=network is slow)
        match network:
            case Network.MANAGEMENT:
                script += f"ip address add {management_address(number)}/24 dev {cable}\n"
            case Network.OVERLAY:
                script += f"ip address add {vtep(number)}/24 dev {cable}\n"
            case Network.PROVIDER:
                script += _BRIDGE.format(PROVIDER_BRIDGE)
                script += f"ip link set {cable} master {PROVIDER_BRIDGE}\n"
        script += f"ip link set {cable} up\n"
    node.shell(script)


def connect_upstream(switch: Node, upstream: Node, routes: Iterable[tuple[str, str]]) -> None:
    """The gateway: it answers ARP, NDP and ICMP at UPSTREAM_ADDRESSES. Routes: (network, via)."""
    cable = "provider"
    _lay_cable(switch, port(Network.PROVIDER, UPSTREAM), Network.PROVIDER, upstream, cable)
    addresses = (f"ip address add {address} dev {cable} nodad" for address in UPSTREAM_ADDRESSES)
    routed = (f"ip route add {network} via {via}" for network, via in routes)
    upstream.shell("\n".join((f"ip link set {cable} up", *addresses, *routed)))


def start_late_switch(
    switch: Node, network: Network, names: Iterable[str], delay: float
) -> Process:
    """Serve a network by a process that delivers `delay` seconds late, instead of by a bridge."""
    ports = [port(network, name) for name in names]
    process = switch.start(
        [sys.executable, "-m", "havrrpd.lab.switch", repr(delay), *ports],
        log=f"{switch.name}-{network}.log",
        environment={"PYTHONPATH": str(Path(havrrpd.__file__).parents[1])},
    )
    wait_until(lambda: READY in process.log.read_text(), 10.0, f"the switch, see {process.log}")
    return process


def unplug(switch: Node, network: Network, name: str) -> None:
    """Pull a cable, of a node or of the upstream gateway: its other end loses carrier."""
    switch.exec(["ip", "link", "set", port(network, name), "down"])


def plug(switch: Node, network: Network, name: str) -> None:
    switch.exec(["ip", "link", "set", port(network, name), "up"])


def has_carrier(network: Network, node: Node) -> bool:
    """Whether the node's end of its cable is up and sees the switch."""
    shown = node.exec(["ip", "-brief", "link", "show", "dev", f"eth-{network}"])
    return "LOWER_UP" in shown


def port(network: Network, name: str) -> str:
    """The switch's end of a cable."""
    return f"{network}-{name}"


def _lay_cable(
    switch: Node, outer: str, network: Network, node: Node, inner: str, *, late: bool = False
) -> None:
    """Made from the host's process namespace, which knows both pids, in the switch's network.

    A cable that is there already leads to a node that died, and goes: by the kernel, which takes
    its time with the namespace of a dead node, or here. If it stays, `link add` says so.
    """
    switch.shell(f"ip link delete {outer} 2>/dev/null || true")
    master = "" if late else f"master br-{network}"
    commands = f"""
        link add {outer} type veth peer name {inner} netns {node.pid}
        link set {outer} {master} up
    """
    done = subprocess.run(
        ["nsenter", "--target", str(switch.pid), "--net", "--", "ip", "-batch", "-"],
        input=commands,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise LabError(f"the cable {outer} can't be laid: {done.stderr.strip()}")
