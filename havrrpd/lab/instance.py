"""A project's instance: a namespace on a compute node, behind the first router."""

from __future__ import annotations

from havrrpd.lab.overlay import MTU, project_segment
from havrrpd.lab.router import INSTANCE_ADDRESSES, Router

NAMESPACE = "instance"
_MAC = "fa:16:3e:00:00:10"


def make_script(router: Router) -> str:
    """The shell script that makes it, on a node that has the router's project network."""
    bridge = project_segment(router.number).bridge
    addresses = "".join(
        f"ip -n {NAMESPACE} address add {address} dev eth0 nodad\n"
        for address in INSTANCE_ADDRESSES
    )
    routes = "".join(
        f"ip -n {NAMESPACE} route add default via {address.split('/')[0]}\n"
        for address in router.project_addresses
    )
    return f"""
ip netns add {NAMESPACE}
ip netns exec {NAMESPACE} sh -c 'echo 0 > /proc/sys/net/ipv6/conf/default/disable_ipv6'
ip link add tap-{NAMESPACE} mtu {MTU} type veth \\
    peer name eth0 mtu {MTU} address {_MAC} netns {NAMESPACE}
ip link set tap-{NAMESPACE} master {bridge} up
ip -n {NAMESPACE} link set lo up
ip -n {NAMESPACE} link set eth0 up
{addresses}{routes}"""
