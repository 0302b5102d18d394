"""A virtual router as Neutron would lay it out: its names, its addresses, its namespace."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass

from havrrpd.lab.network import Network

_NODES_PER_ROUTER = 64  # 254 x 64 addresses fit the HA network's 16384
_ROUTERS = 230  # the provider network has that many addresses left above .20


@dataclass(frozen=True, slots=True)
class Router:
    """The same on every node, but for the HA port. `number` counts from 1 and is the VRID."""

    number: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= _ROUTERS:
            raise ValueError(f"a lab has routers 1 to {_ROUTERS}, not {self.number}")

    @property
    def id(self) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"havrrpd:lab:router:{self.number}"))

    @property
    def namespace(self) -> str:
        return f"qrouter-{self.id}"

    @property
    def vrid(self) -> int:
        return self.number

    @property
    def ha(self) -> str:
        return self._interface("ha")

    @property
    def qr(self) -> str:
        return self._interface("qr")

    @property
    def qg(self) -> str:
        return self._interface("qg")

    @property
    def virtual_address(self) -> str:
        return f"169.254.0.{self.vrid}/24"

    @property
    def project_addresses(self) -> tuple[str, str]:
        """On qr-. The first router has the addresses of the documentation ranges."""
        if self.number == 1:
            return "198.51.100.1/24", "fd00:198:51:100::1/64"
        return f"198.18.{self.number}.1/24", f"fd00:198:18:{self.number}::1/64"

    @property
    def provider_addresses(self) -> tuple[str, str]:
        """On qg-."""
        last = 20 + self.number
        return f"203.0.113.{last}/24", f"fd00:203:0:113::{last}/64"

    @property
    def virtual_addresses(self) -> frozenset[str]:
        """All that the MASTER has and no other node."""
        return frozenset((self.virtual_address, *self.project_addresses, *self.provider_addresses))

    def ha_address(self, node_number: int) -> str:
        """The HA port's own address on one node; nodes count from 1."""
        if not 1 <= node_number < _NODES_PER_ROUTER:
            raise ValueError(f"a lab has nodes 1 to {_NODES_PER_ROUTER - 1}, not {node_number}")
        offset = (self.number - 1) * _NODES_PER_ROUTER + node_number
        return f"169.254.{192 + offset // 256}.{offset % 256}/18"

    def mac(self, kind: str, node_number: int = 0) -> str:
        """Of the port `ha`, `qr` or `qg`. Only ha has one per node."""
        digest = hashlib.sha256(f"{self.id} {kind} {node_number}".encode()).digest()
        return "fa:16:3e:" + digest[:3].hex(":")

    def _interface(self, kind: str) -> str:
        """Like Neutron: the kind and the first 11 characters of the port's id."""
        return f"{kind}-{self._port(kind)}"

    def _port(self, kind: str) -> str:
        return str(uuid.uuid5(uuid.UUID(self.id), kind))[:11]


# all/forwarding is what the kernel looks at when it forwards IPv6. With default/forwarding an
# interface would also join ff02::2 and report that, on every node, from the MAC they all share.
_NAMESPACE = """
cd /proc/sys/net
echo 1 > ipv4/ip_forward
echo 0 > ipv6/conf/all/disable_ipv6
echo 0 > ipv6/conf/default/disable_ipv6
echo 1 > ipv6/conf/all/forwarding
echo 0 > ipv6/conf/default/forwarding
echo 0 > ipv6/conf/default/accept_ra
echo 0 > ipv6/conf/default/autoconf
echo 0 > ipv6/conf/default/router_solicitations
echo 1 > ipv6/conf/default/addr_gen_mode
nft -f - <<END
table ip6 quiet {
    chain output {
        type filter hook output priority 0
        icmpv6 type { mld-listener-report, mld-listener-done, mld2-listener-report } drop
    }
}
END
"""


def make_script(router: Router, node_number: int) -> str:
    """The shell script that makes the router's namespace on a node, with no virtual address.

    The kernel reports the groups that it leaves when a node loses the virtual addresses: that
    too would come from the shared MAC of a node that is not MASTER, so the namespace drops it.
    """
    namespace = router.namespace
    ports = "".join(
        f"""
ip link add {_tap(name)} type veth peer name {name} address {mac} netns {namespace}
ip link set {_tap(name)} master br-{network} up
ip -n {namespace} link set {name} up"""
        for name, mac, network in (
            (router.ha, router.mac("ha", node_number), Network.HA),
            (router.qr, router.mac("qr"), Network.PROJECT),
            (router.qg, router.mac("qg"), Network.PROVIDER),
        )
    )
    return f"""
ip netns add {namespace}
ip netns exec {namespace} sh -eu <<'INSIDE'
{_NAMESPACE}
INSIDE
ip -n {namespace} link set lo up
{ports}
ip -n {namespace} address add {router.ha_address(node_number)} dev {router.ha}
"""


def _tap(interface: str) -> str:
    """The node's end of a router's port."""
    return f"tap{interface[3:]}"
