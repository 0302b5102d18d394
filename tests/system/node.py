"""The node that these tests speak of: a booted Debian with two routers and their gateways.

One router is keepalived's own service, the other as Neutron has it: in a namespace of its own, and
with its FIFO and its lever in a place of another user.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from havrrpd.lab.waiting import LabError, wait_until
from tests.system import debian
from tests.system.container import Container

HOST, NEUTRON = "keepalived", "7c9e6679-7425-40de-944b-e07fc1f90ae7"
NAMESPACE = f"qrouter-{NEUTRON}"
UNITS = {HOST: "keepalived", NEUTRON: "neutron-keepalived"}  # of their keepalived processes
CONFIG = "/etc/havrrpd/havrrpd.toml"
ELECTION = 10.0  # seconds; Active_Down_Interval is 3.6 here

# The container's whole network: it and its upstream gateway on one cable.
NETWORK = """
ip netns add upstream
ip link add ext0 type veth peer name down0 netns upstream
ip address add 198.51.100.11/24 dev ext0
ip address add 2001:db8::11/64 dev ext0 nodad
ip link set ext0 up
ip -n upstream address add 198.51.100.1/24 dev down0
ip -n upstream address add 2001:db8::1/64 dev down0 nodad
ip -n upstream link set down0 up
"""
NETWORK_UNIT = """
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -eux /etc/network-of-the-test.sh
"""
KEEPALIVED_NEEDS_IT = """
[Unit]
Requires=network-of-the-test.service
After=network-of-the-test.service
"""
NEUTRONS_NETWORK = f"""
ip netns add {NAMESPACE}
ip link add qg0 netns {NAMESPACE} type veth peer name down1 netns upstream
ip -n {NAMESPACE} address add 203.0.113.11/24 dev qg0
ip -n {NAMESPACE} address add 2001:db8:1::11/64 dev qg0 nodad
ip -n {NAMESPACE} link set qg0 up
ip -n {NAMESPACE} link set lo up
ip -n upstream address add 203.0.113.1/24 dev down1
ip -n upstream address add 2001:db8:1::1/64 dev down1 nodad
ip -n upstream link set down1 up
"""
# One router is checked by ARP and NDP, the other by ICMP.
CHECKS = f"""
[health_check]
interval = 1.0
[[router]]
match = "{HOST}"
methods = ["arp"]
gateways = ["198.51.100.1", "2001:db8::1"]
[[router]]
match = "{NAMESPACE}"
methods = ["icmp"]
gateways = ["203.0.113.1", "2001:db8:1::1"]
"""
# Neutron's router has its FIFO and its lever in a place of another user, who is www-data here.
OTHERS = "/var/lib/neutron"
NEUTRONS_PLACES = f"""
install --directory --owner www-data {OTHERS}
mkfifo --mode 0600 {OTHERS}/fifo
chown www-data {OTHERS}/fifo
"""


def conf(vrid: int, interface: str, address: str) -> str:
    """keepalived.conf of somebody who never heard of havrrpd."""
    return f"""
vrrp_instance VR_{vrid} {{
    state BACKUP
    interface {interface}
    virtual_router_id {vrid}
    priority 150
    nopreempt
    advert_int 1
    virtual_ipaddress {{
        {address}
    }}
}}
"""


def with_stanza(conf: str, fifo: str, lever: str) -> str:
    instance = "\n    track_file {\n        havrrpd\n    }\n}\n"
    return f"""
global_defs {{
    vrrp_notify_fifo {fifo}
}}
track_file havrrpd {{
    file {lever}
    weight 1
    init_file 0
}}
{conf.rstrip().removesuffix("}")}{instance}"""


HOSTS_CONF = conf(1, "ext0", "198.51.100.100/24")
HOSTS_CONF_WITH_STANZA = with_stanza(
    HOSTS_CONF, f"/run/havrrpd/notify/{HOST} root", f"/run/havrrpd/levers/{HOST}"
)
NEUTRONS_CONF_WITH_STANZA = with_stanza(
    conf(2, "qg0", "203.0.113.100/24"), f"{OTHERS}/fifo www-data", f"{OTHERS}/lever"
)


class Node:
    """The words in which these tests speak of the container."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.run, self.say, self.shell = container.run, container.say, container.shell

    def start_neutrons_router(self) -> None:
        """As Neutron does: a namespace, and keepalived in it as a child of another service."""
        self.shell(NEUTRONS_NETWORK)
        self.run(
            *("systemd-run", "--unit", "neutron-keepalived", "--collect"),
            *("ip", "netns", "exec", NAMESPACE, "keepalived", "--dont-fork", "--vrrp"),
            *("--use-file", "/etc/keepalived/neutron.conf"),
            *("--pid", "/run/neutron.pid", "--vrrp_pid", "/run/neutron-vrrp.pid"),
        )

    def write(self, path: str, text: str) -> None:
        self.container.path(path).write_text(text)

    def router(self, router: str) -> dict[str, Any]:
        shown = self.run("havrrpd", "status", router, "-o", "json", check=False)
        if not shown.stdout:
            raise LabError(shown.stderr)
        found: dict[str, Any] = json.loads(shown.stdout)
        return found

    def witnesses(self, router: str) -> dict[str, str]:
        found: dict[str, str] = self.router(router)["instances"][0]["witnesses"]
        return found

    def steady(self, *routers: str) -> None:
        """Wait until every witness of each router says MASTER, and its gateways answer.

        The notification is "none" when keepalived has said nothing since havrrpd listens.
        """
        for router in routers:
            wait_until(partial(self._is_steady, router), ELECTION, f"a steady {router}", 0.3)

    def _is_steady(self, name: str) -> bool:
        router, witnesses = self.router(name), self.witnesses(name)
        notification = witnesses.pop("notification")
        seen = (router["state"], router["connectivity"], router["problems"], witnesses)
        agreed = {"process": "running", "kernel": "all", "wire": "sending"}
        if seen != ("MASTER", "reachable", [], agreed) or notification not in ("MASTER", "none"):
            raise LabError(f"{seen} {notification}")
        return True

    def show(self, unit: str, name: str) -> str:
        return self.say("systemctl", "show", "--value", "--property", name, unit)

    def pid(self) -> int:
        """Of havrrpd's process, as the container counts; LabError when there is none."""
        pid = int(self.show("havrrpd", "MainPID"))
        if pid == 0:
            raise LabError("havrrpd does not run")
        return pid

    def log(self, unit: str = "havrrpd") -> list[str]:
        """Everything in the journal of this boot."""
        argv = ("journalctl", "--boot", "--unit", unit, "--output", "cat", "--no-pager")
        return self.say(*argv).splitlines()

    def events(self) -> list[str]:
        """The names of the events in havrrpd's own log."""
        return [json.loads(line)["event"] for line in self.log() if line.startswith("{")]

    def transitions(self, unit: str) -> list[str]:
        """The states that a keepalived went to since the boot, by its own log."""
        return re.findall(r"Entering (\w+) STATE", "\n".join(self.log(unit)))

    def hosts_keepalived(self) -> tuple[object, ...]:
        """Its process and the states that it went through."""
        return self.show("keepalived", "MainPID"), self.transitions("keepalived")

    @contextmanager
    def keepalived_undisturbed(self) -> Iterator[None]:
        """Its processes, states and addresses stay; an address's lifetimes show if it went."""
        before = self._keepalived()
        yield
        assert self._keepalived() == before

    @contextmanager
    def nothing_moves(self) -> Iterator[None]:
        """That, with the FIFOs and levers, and in the end all is well."""
        before = self._meeting_places()
        with self.keepalived_undisturbed():
            yield
            self.steady(HOST, NEUTRON)
        assert self._meeting_places() == before

    def _keepalived(self) -> tuple[object, ...]:
        pids = [self.show(unit, "MainPID") for unit in UNITS.values()]
        states = [self.transitions(unit) for unit in UNITS.values()]
        addresses = self.say("ip", "-oneline", "address", "show", "to", "198.51.100.100")
        neutrons = ("ip", "-n", NAMESPACE, "-oneline", "address", "show", "to", "203.0.113.100")
        return pids, states, addresses, self.say(*neutrons)

    def _meeting_places(self) -> str:
        return self.shell(f"stat --format '%n %i' /run/havrrpd/*/* {OTHERS}/*")

    def fail_over(self, *routers: str) -> None:
        """Order it. No other node is there: keepalived is in FAULT for it, then MASTER again."""
        before = {router: len(self.transitions(UNITS[router])) for router in routers}
        for router in routers:
            self.run("havrrpd", "failover", router)

        def over(router: str) -> bool:
            states = self.transitions(UNITS[router])[before[router] :]
            if states != ["FAULT", "BACKUP", "MASTER"]:
                raise LabError(f"{states}, {self.log()[-5:]}")
            return True

        for router in routers:
            wait_until(partial(over, router), 2 * ELECTION, f"a failover of {router}", 0.3)
            self.steady(router)
            assert self.witnesses(router)["notification"] == "MASTER"


def prepared(work: Path) -> Container:
    """Not booted yet; `work` is where all is that is written inside."""
    container = Container(debian.with_systemd(), work)
    container.add("/etc/network-of-the-test.sh", NETWORK)
    container.add("/etc/systemd/system/network-of-the-test.service", NETWORK_UNIT)
    container.add("/etc/systemd/system/keepalived.service.d/network.conf", KEEPALIVED_NEEDS_IT)
    container.add("/etc/keepalived/keepalived.conf", HOSTS_CONF)
    container.add("/etc/keepalived/neutron.conf", NEUTRONS_CONF_WITH_STANZA)
    return container
