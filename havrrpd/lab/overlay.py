"""The overlay: VXLAN between the nodes, a Linux bridge for each network, as Neutron lays them out.

Broadcasts go to every other node by unicast (the all-zero entries of the forwarding database), as
with Neutron's Linux bridge agent without l2population.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass

MTU = 1450  # 1500 less the headers of Ethernet, IPv4, UDP and VXLAN
_PORT = 4789


@dataclass(frozen=True, slots=True)
class Segment:
    """One network on the overlay."""

    name: str
    vni: int

    @property
    def bridge(self) -> str:
        return bridge(self.name)

    @property
    def device(self) -> str:
        return f"vxlan-{self.vni}"


def ha_segment(project: int) -> Segment:
    """The hidden HA network of a project."""
    return Segment(f"ha-{project}", 1000 + project)


def project_segment(router: int) -> Segment:
    """The network behind one router."""
    return Segment(f"project-{router}", 2000 + router)


def bridge(network: str) -> str:
    """Like Neutron: brq and the first 11 characters of the network's id."""
    return f"brq{str(uuid.uuid5(uuid.NAMESPACE_URL, f'havrrpd:lab:network:{network}'))[:11]}"


def vtep(number: int) -> str:
    """The address of a node on the overlay network."""
    return f"10.0.0.{number}"


def make_script(segments: Iterable[Segment], own: int, others: Iterable[int]) -> str:
    """The shell script that makes a node's ends of the segments. Nodes are known by number.

    A segment takes one frame at a time: the late switch in user space can't cut large ones.
    """
    remote = tuple(others)
    return "".join(
        f"""
ip link add {segment.bridge} mtu {MTU} type bridge forward_delay 0 stp_state 0 mcast_snooping 0
ip link set {segment.bridge} up
ip link add {segment.device} type vxlan id {segment.vni} local {vtep(own)} dev eth-ovl \\
    dstport {_PORT}
ip link set {segment.device} mtu {MTU} gso_max_segs 1 master {segment.bridge} up
"""
        + "".join(
            f"bridge fdb append 00:00:00:00:00:00 dev {segment.device} dst {vtep(number)}\n"
            for number in remote
        )
        for segment in segments
    )
