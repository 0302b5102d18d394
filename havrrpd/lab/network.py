"""The networks between the nodes: bridges on a switch of the lab's own, and cables to the nodes.

A node has one cable per network (`eth-ha`, ...) and a bridge that it ends in (`br-ha`, ...).
Nothing of it is in the host's network namespace.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path

import havrrpd
from havrrpd.lab.node import Node
from havrrpd.lab.switch import READY
from havrrpd.lab.waiting import LabError, wait_until


class Network(StrEnum):
    HA = "ha"  # hidden, for VRRP only: 169.254.192.0/18
    PROJECT = "proj"  # the routers' inside, qr-
    PROVIDER = "prov"  # the routers' outside, qg-, with the upstream gateway


UPSTREAM = "upstream"
UPSTREAM_ADDRESSES = ("203.0.113.1/24", "fd00:203:0:113::1/64")

# No IPv6 of their own: a bridge or a cable must not speak on the networks that it carries.
_QUIET = "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6"
_BRIDGE = """
ip link add br-{network} type bridge forward_delay 0 stp_state 0 mcast_snooping 0
ip link set br-{network} up
"""


def make_switch(switch: Node) -> None:
    switch.shell(_QUIET + "".join(_BRIDGE.format(network=network) for network in Network))


def make_bridges(node: Node) -> None:
    node.shell(_QUIET + "".join(_BRIDGE.format(network=network) for network in Network))


def connect(switch: Node, node: Node) -> None:
    """Lay a cable from each of the switch's bridges to the node's bridge of the same network."""
    for network in Network:
        _lay_cable(switch, port(network, node.name), network, node, f"eth-{network}")
    node.shell("\n".join(f"ip link set eth-{name} master br-{name} up" for name in Network))


def connect_upstream(switch: Node, upstream: Node) -> None:
    """The gateway: it answers ARP, NDP and ICMP at UPSTREAM_ADDRESSES."""
    _lay_cable(switch, port(Network.PROVIDER, UPSTREAM), Network.PROVIDER, upstream, "provider")
    addresses = (f"ip address add {address} dev provider nodad" for address in UPSTREAM_ADDRESSES)
    upstream.shell("\n".join(("ip link set provider up", *addresses)))


def slow_down(switch: Node, network: Network, names: Iterable[str], delay: float) -> None:
    """Replace a network's bridge on the switch by a process that delivers `delay` seconds late."""
    switch.exec(["ip", "link", "delete", f"br-{network}"])
    ports = [port(network, name) for name in names]
    process = switch.start(
        [sys.executable, "-m", "havrrpd.lab.switch", repr(delay), *ports],
        log=f"{switch.name}-{network}.log",
        environment={"PYTHONPATH": str(Path(havrrpd.__file__).parents[1])},
    )
    wait_until(lambda: READY in process.log.read_text(), 10.0, f"the switch, see {process.log}")


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


def _lay_cable(switch: Node, outer: str, network: Network, node: Node, inner: str) -> None:
    """Made from the host's process namespace, which knows both pids, in the switch's network."""
    commands = f"""
        link add {outer} type veth peer name {inner} netns {node.pid}
        link set {outer} master br-{network} up
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
