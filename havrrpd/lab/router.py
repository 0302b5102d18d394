"""A virtual router as Neutron would lay it out: its names, its addresses, its namespace."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address

from havrrpd.lab.network import PROVIDER_BRIDGE
from havrrpd.lab.overlay import MTU, Segment, ha_segment, project_segment

ROUTERS = 230  # the provider network has that many addresses left above .20
_NODES_PER_ROUTER = 64  # 255 x 64 addresses fit the hidden network's 16384
_WITHOUT_HA = ROUTERS + 1

INSTANCE_ADDRESSES = ("198.51.100.10/24", "fd00:198:51:100::10/64")
FLOATING_ADDRESS = "203.0.113.17"


@dataclass(frozen=True, slots=True)
class Port:
    """One interface of a router, its MAC on a node, and the node's bridge that it ends in."""

    interface: str
    mac: str
    bridge: str
    mtu: int


@dataclass(frozen=True, slots=True)
class Router:
    """The same on every node, but for the HA port. `number` counts from 1 over all projects."""

    number: int
    project: int = 1
    vrid: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= _WITHOUT_HA:
            raise ValueError(f"a lab has routers 1 to {ROUTERS}, not {self.number}")

    @property
    def id(self) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"havrrpd:lab:router:{self.number}"))

    @property
    def namespace(self) -> str:
        return f"qrouter-{self.id}"

    @property
    def ha(self) -> str:
        return self._interface("ha")

    @property
    def qr(self) -> str:
        """Of the project's IPv4 subnet."""
        return self._interface("qr")

    @property
    def qr6(self) -> str:
        """Of the project's IPv6 subnet."""
        return f"qr-{self._port('qr6')}"

    @property
    def qg(self) -> str:
        return self._interface("qg")

    @property
    def virtual_address(self) -> str:
        return f"169.254.0.{self.vrid}/24"

    @property
    def project_addresses(self) -> tuple[str, str]:
        """On qr- and qr6. The first router has the addresses of the documentation ranges."""
        if self.number == 1:
            return "198.51.100.1/24", "fd00:198:51:100::1/64"
        return f"198.18.{self.number}.1/24", f"fd00:198:18:{self.number}::1/64"

    @property
    def provider_addresses(self) -> tuple[str, str]:
        """On qg-."""
        last = 20 + self.number
        return f"203.0.113.{last}/24", f"fd00:203:0:113::{last}/64"

    @property
    def floating_addresses(self) -> tuple[str, ...]:
        """On qg- too; the first router serves the instance."""
        return (f"{FLOATING_ADDRESS}/32",) if self.number == 1 else ()

    @property
    def excluded_addresses(self) -> tuple[tuple[str, str], ...]:
        """(address, interface): all that the MASTER has, but for the VRRP address itself.

        As with Neutron the link-local addresses are among them: without one the kernel can't ask
        for a neighbour, and a node that is not MASTER has none to speak from.
        """
        inside, inside6 = self.project_addresses
        outside = (*self.provider_addresses, *self.floating_addresses)
        return (
            (inside, self.qr),
            (inside6, self.qr6),
            (_link_local(self.mac("qr6")), self.qr6),
            *((each, self.qg) for each in outside),
            (_link_local(self.mac("qg")), self.qg),
        )

    @property
    def virtual_addresses(self) -> frozenset[str]:
        """All that the MASTER has and no other node."""
        return frozenset((self.virtual_address, *(each for each, _ in self.excluded_addresses)))

    @property
    def segments(self) -> tuple[Segment, Segment]:
        """The networks that it needs from the overlay."""
        return ha_segment(self.project), project_segment(self.number)

    def ha_address(self, node_number: int) -> str:
        """The HA port's own address on one node; nodes count from 1."""
        if not 1 <= node_number < _NODES_PER_ROUTER:
            raise ValueError(f"a lab has nodes 1 to {_NODES_PER_ROUTER - 1}, not {node_number}")
        offset = (self.number - 1) * _NODES_PER_ROUTER + node_number
        return f"169.254.{192 + offset // 256}.{offset % 256}/18"

    def mac(self, kind: str, node_number: int = 0) -> str:
        """Of the port `ha`, `qr`, `qr6` or `qg`. Only ha has one per node."""
        digest = hashlib.sha256(f"{self.id} {kind} {node_number}".encode()).digest()
        return "fa:16:3e:" + digest[:3].hex(":")

    def ports(self, node_number: int) -> tuple[Port, ...]:
        """Of a router with HA, the HA port first."""
        ha, _ = self.segments
        return Port(self.ha, self.mac("ha", node_number), ha.bridge, MTU), *self.ports_without_ha()

    def ports_without_ha(self) -> tuple[Port, ...]:
        _, project = self.segments
        return (
            Port(self.qr, self.mac("qr"), project.bridge, MTU),
            Port(self.qr6, self.mac("qr6"), project.bridge, MTU),
            Port(self.qg, self.mac("qg"), PROVIDER_BRIDGE, 1500),
        )

    def _interface(self, kind: str) -> str:
        """Like Neutron: the kind and the first 11 characters of the port's id."""
        return f"{kind}-{self._port(kind)}"

    def _port(self, kind: str) -> str:
        return str(uuid.uuid5(uuid.UUID(self.id), kind))[:11]


def _link_local(mac: str) -> str:
    """RFC 4291 appendix A: the modified EUI-64 of a MAC."""
    octets = bytes.fromhex(mac.replace(":", ""))
    identifier = bytes((octets[0] ^ 2, *octets[1:3], 0xFF, 0xFE, *octets[3:]))
    return f"{IPv6Address(int(IPv6Address('fe80::')) | int.from_bytes(identifier))}/64"


def router_without_ha() -> Router:
    """The one router that no keepalived protects."""
    return Router(_WITHOUT_HA)


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


# Static, one to one; a connection that this node has not seen begin is taken up as well.
_FLOATING = """
nft -f - <<END
table ip floating {{
    chain prerouting {{
        type nat hook prerouting priority dstnat
        ip daddr {outside} dnat to {inside}
    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat
        ip saddr {inside} snat to {outside}
    }}
}}
END
"""


def make_script(router: Router, node_number: int) -> str:
    """The shell script that makes the router's namespace on a node, with no virtual address.

    The kernel reports the groups that it leaves when a node loses the virtual addresses: that
    too would come from the shared MAC of a node that is not MASTER, so the namespace drops it.
    """
    return f"""{_namespace(router, router.ports(node_number))}
ip -n {router.namespace} address add {router.ha_address(node_number)} dev {router.ha}
"""


def make_script_without_ha(router: Router) -> str:
    """Addresses and default routes for good, on one node only."""
    inside = f"ip -n {router.namespace}"
    addresses = "".join(
        f"{inside} address add {address} dev {interface} nodad\n"
        for address, interface in router.excluded_addresses
    )
    return f"""{_namespace(router, router.ports_without_ha())}
{addresses}
{inside} route add default via 203.0.113.1
{inside} route add default via fd00:203:0:113::1
"""


def _namespace(router: Router, ports: Iterable[Port]) -> str:
    namespace = router.namespace
    laid = "".join(
        f"""
ip link add {_tap(port.interface)} mtu {port.mtu} type veth \\
    peer name {port.interface} mtu {port.mtu} address {port.mac} netns {namespace}
ip link set {_tap(port.interface)} master {port.bridge} up
ip -n {namespace} link set {port.interface} up"""
        for port in ports
    )
    inside, outside = INSTANCE_ADDRESSES[0].split("/")[0], FLOATING_ADDRESS
    floating = _FLOATING.format(inside=inside, outside=outside) if router.number == 1 else ""
    return f"""
ip netns add {namespace}
ip netns exec {namespace} sh -eu <<'INSIDE'
{_NAMESPACE}
{floating}
INSIDE
ip -n {namespace} link set lo up
{laid}
"""


def _tap(interface: str) -> str:
    """The node's end of a router's port."""
    return f"tap{interface[3:]}"
