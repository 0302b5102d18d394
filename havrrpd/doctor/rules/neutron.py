"""What Neutron is told to do on this node, and what of it runs beside havrrpd."""

from __future__ import annotations

from collections.abc import Iterator

from havrrpd.doctor.facts import Facts
from havrrpd.doctor.findings import NODE, Finding, Kind, Level

L2_POPULATION = Kind(
    "l2_population",
    Level.FAIL,
    "The Linux bridge agent has l2_population, and there are routers with VRRP. Neutron's guide: "
    "they are not compatible (https://docs.openstack.org/neutron/stein/admin/"
    "deploy-lb-ha-vrrp.html).",
    "set l2_population = false in [vxlan] on all network and compute nodes, and restart the Linux "
    "bridge agents",
)
MONITOR = Kind(
    "neutron_monitor_beside",
    Level.NOTE,
    "Neutron's own monitors of keepalived's state run beside havrrpd. That is fine: they tell "
    "Neutron which node is active, and move nothing. They look at addresses only, so trust havrrpd "
    "where the two differ.",
    "nothing has to be done",
)
UNREAD = Kind(
    "neutron_config_unread",
    Level.UNKNOWN,
    "A file of Neutron's configuration is there, and can't be read.",
    "run havrrpd doctor as root; compare the file with what Neutron expects",
)

KINDS = (L2_POPULATION, MONITOR, UNREAD)

_NAMESPACES = ("qrouter-", "snat-")


def findings(facts: Facts) -> Iterator[Finding]:
    neutron = facts.neutron
    routers = [e for e in facts.keepalived if (e.namespace or "").startswith(_NAMESPACES)]
    for path in neutron.unread:
        yield UNREAD.at(NODE, f"{path} can't be read")
    if routers:
        for path in neutron.l2_population:
            yield L2_POPULATION.at(NODE, f"l2_population is on in {path}")
    if neutron.monitors:
        verb = "monitor runs" if neutron.monitors == 1 else "monitors run"
        yield MONITOR.at(NODE, f"{neutron.monitors} of Neutron's {verb} too")
