"""keepalived in the lab: its configuration as text, and its two processes on a node."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field

from havrrpd.lab.network import UPSTREAM_ADDRESSES
from havrrpd.lab.node import Node
from havrrpd.lab.process import Process, children, send
from havrrpd.lab.router import Router
from havrrpd.lab.waiting import wait_until

NOTIFY_DIR = "/run/havrrpd/notify"
LEVER_DIR = "/run/havrrpd/levers"
HA_CONFS = "/run/ha_confs"
_NEUTRON = "    notification_email_from neutron@openstack.local\n    router_id neutron\n"
CHECK_INTERVAL, CHECK_FALL, CHECK_RISE = 2, 2, 2  # the ping's limit of 1 s fits in


@dataclass(frozen=True, slots=True)
class Vrrp:
    """How the routers' keepalived is configured, in keepalived.conf's words."""

    base_priority: int = 150
    priorities: Mapping[str, int] = field(default_factory=dict)  # node -> another base
    advert_int: float = 1
    version: int = 2
    nopreempt: bool = True
    fifo: bool = True
    lever: bool = True
    unlevered: frozenset[str] = frozenset()  # nodes that have no lever in any case
    check_script: bool = False


def configuration(router: Router, node: str, vrrp: Vrrp) -> str:
    """keepalived.conf of a router on a node, laid out as Neutron does."""
    nopreempt = "    nopreempt\n" if vrrp.nopreempt else ""
    track = "    track_file {\n        havrrpd\n    }\n" if _has_lever(node, vrrp) else ""
    track += "    track_script {\n        gateway\n    }\n" if vrrp.check_script else ""
    excluded = "".join(
        f"        {address} dev {interface}{_scope(address)} no_track\n"
        for address, interface in router.excluded_addresses
    )
    routes = "".join(
        f"        {destination} via {gateway.split('/')[0]} dev {router.qg}"
        " no_track protocol static\n"
        for destination, gateway in zip(("0.0.0.0/0", "::/0"), UPSTREAM_ADDRESSES, strict=True)
    )
    return f"""{_global(router, node, vrrp)}
vrrp_instance VR_{router.vrid} {{
    state BACKUP
    interface {router.ha}
    virtual_router_id {router.vrid}
    priority {vrrp.priorities.get(node, vrrp.base_priority)}
    garp_master_delay 60
{nopreempt}    advert_int {vrrp.advert_int:g}
    track_interface {{
        {router.ha}
    }}
{track}    virtual_ipaddress {{
        {router.virtual_address} dev {router.ha}
    }}
    virtual_ipaddress_excluded {{
{excluded}    }}
    virtual_routes {{
{routes}    }}
}}
"""


def _global(router: Router, node: str, vrrp: Vrrp) -> str:
    fifo = f"    vrrp_notify_fifo {NOTIFY_DIR}/{router.id} root\n" if vrrp.fifo else ""
    version = f"    vrrp_version {vrrp.version}\n" if vrrp.version != 2 else ""
    lever = f"""
track_file havrrpd {{
    file {LEVER_DIR}/{router.id}
    weight 1
    init_file 0
}}
"""
    security = "    enable_script_security\n    script_user root\n" if vrrp.check_script else ""
    check = f"""
vrrp_script gateway {{
    script "{_script(router)}"
    interval {CHECK_INTERVAL}
    fall {CHECK_FALL}
    rise {CHECK_RISE}
}}
"""
    identity = f"    router_id {node}\n" if vrrp.fifo or vrrp.lever else _NEUTRON
    definitions = f"global_defs {{\n{identity}{fifo}{version}{security}}}\n"
    lever = lever if _has_lever(node, vrrp) else ""
    return definitions + lever + (check if vrrp.check_script else "")


def _scope(address: str) -> str:
    return " scope link" if address.startswith("fe80:") else ""


def _has_lever(node: str, vrrp: Vrrp) -> bool:
    return vrrp.lever and node not in vrrp.unlevered


def check_script(router: Router) -> str:
    """The usual way to watch a gateway, in the shape of Neutron's: only the MASTER can fail.

    So a BACKUP always looks well, and a failed MASTER too as soon as it is none any more.
    """
    return f"""#!/bin/sh
ip -oneline address show dev {router.ha} | grep -qF ' {router.virtual_address} ' || exit 0
exec ping -n -c 1 -W 1 {UPSTREAM_ADDRESSES[0].split("/")[0]} >/dev/null 2>&1
"""


def _script(router: Router) -> str:
    return f"{HA_CONFS}/{router.id}/check_gateway.sh"


class Keepalived:
    """keepalived of one router on one node: the main process and its VRRP child."""

    def __init__(self, process: Process) -> None:
        self.process = process

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def vrrp_pid(self) -> int | None:
        """None while it is dead and not yet respawned."""
        return next(iter(children(self.pid)), None)

    @property
    def running(self) -> bool:
        return self.process.running

    def stop(self) -> None:
        """SIGTERM: it resigns with a priority-0 advert and takes its addresses away."""
        self.process.signal(signal.SIGTERM)
        self.process.wait(10.0)

    def kill(self) -> None:
        """SIGKILL for both, the main process held meanwhile so that it respawns no child."""
        for pid in self._held_pids():
            send(pid, signal.SIGKILL)
        self.process.wait(10.0)

    def reload(self) -> None:
        self.process.signal(signal.SIGHUP)

    def pause(self) -> None:
        """SIGSTOP for both: hung, with all that it holds."""
        for pid in self._held_pids():
            send(pid, signal.SIGSTOP)

    def resume(self) -> None:
        for pid in (*children(self.pid), self.pid) if self.running else ():
            send(pid, signal.SIGCONT)

    def _held_pids(self) -> list[int]:
        if not self.running:  # its pid can be somebody else's by now
            return []
        self.process.signal(signal.SIGSTOP)
        return [*children(self.pid), self.pid]


def start(node: Node, router: Router, vrrp: Vrrp) -> Keepalived:
    """Write the configuration and start keepalived in the router's namespace, as Neutron does."""
    directory = f"{HA_CONFS}/{router.id}"
    node.path(directory).mkdir(parents=True, exist_ok=True)
    conf = f"{directory}/keepalived.conf"
    node.path(conf).write_text(configuration(router, node.name, vrrp))
    if vrrp.check_script:
        node.path(_script(router)).write_text(check_script(router))
        node.path(_script(router)).chmod(0o700)
    process = node.start(
        [
            *("ip", "netns", "exec", router.namespace),
            *("keepalived", "-n", "-l", "-D", "-P", "-f", conf),
            *("-p", f"{HA_CONFS}/{router.id}.pid", "-r", f"{HA_CONFS}/{router.id}.pid-vrrp"),
        ],
        log=f"{node.name}-keepalived-{router.number}.log",
        environment={"TMPDIR": directory},  # keepalived's dumps of one node, not of all
    )
    wait_until(lambda: children(process.pid), 5.0, f"keepalived's child, see {process.log}")
    return Keepalived(process)
