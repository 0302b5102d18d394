"""havrrpd as a service on a Debian that boots in a container, beside keepalived's service.

The tests are one story on one container: the package comes to a keepalived that runs, then what an
operator does, what goes wrong, a boot, and the end of it.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from havrrpd import capabilities
from havrrpd.lab.waiting import LabError, wait_until
from tests.system import debian, repository
from tests.system.container import Container

pytestmark = pytest.mark.root

HOST, NEUTRON = "keepalived", "7c9e6679-7425-40de-944b-e07fc1f90ae7"
NAMESPACE = f"qrouter-{NEUTRON}"
UNITS = {HOST: "keepalived", NEUTRON: "neutron-keepalived"}  # of their keepalived processes
CONFIG = "/etc/havrrpd/havrrpd.toml"
DAC_OVERRIDE = 1  # its bit, capabilities(7); the others are what the doctor looks for
ELECTION = 10.0  # seconds; Active_Down_Interval is 3.6 here
WATCHDOG = 10.0  # seconds, havrrpd.service's WatchdogSec

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


def keepalived_conf(vrid: int, interface: str, address: str, fifo: str, lever: str) -> str:
    return f"""
global_defs {{
    vrrp_notify_fifo {fifo}
}}
track_file havrrpd {{
    file {lever}
    weight 1
    init_file 0
}}
vrrp_instance VR_{vrid} {{
    state BACKUP
    interface {interface}
    virtual_router_id {vrid}
    priority 150
    nopreempt
    advert_int 1
    track_file {{
        havrrpd
    }}
    virtual_ipaddress {{
        {address}
    }}
}}
"""


HOSTS_CONF = keepalived_conf(
    *(1, "ext0", "198.51.100.100/24"),
    *(f"/run/havrrpd/notify/{HOST} root", f"/run/havrrpd/levers/{HOST}"),
)
NEUTRONS_CONF = keepalived_conf(
    2, "qg0", "203.0.113.100/24", f"{OTHERS}/fifo www-data", f"{OTHERS}/lever"
)


class Node:
    """The words in which these tests speak of the container."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.run, self.say, self.shell = container.run, container.say, container.shell

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

    def fail_over(self, router: str) -> None:
        """Order it. No other node is there: keepalived is in FAULT for it, then MASTER again."""
        before = len(self.transitions(UNITS[router]))
        self.run("havrrpd", "failover", router)

        def over() -> bool:
            states = self.transitions(UNITS[router])[before:]
            if states != ["FAULT", "BACKUP", "MASTER"]:
                raise LabError(f"{states}, {self.log()[-5:]}")
            return True

        wait_until(over, 2 * ELECTION, f"a failover of {router}", 0.3)
        self.steady(router)
        assert self.witnesses(router)["notification"] == "MASTER"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    work = tmp_path_factory.mktemp("container")
    container = Container(debian.with_systemd(), work)
    container.add("/etc/network-of-the-test.sh", NETWORK)
    container.add("/etc/systemd/system/network-of-the-test.service", NETWORK_UNIT)
    container.add("/etc/systemd/system/keepalived.service.d/network.conf", KEEPALIVED_NEEDS_IT)
    container.add("/etc/keepalived/keepalived.conf", HOSTS_CONF)
    container.add("/etc/keepalived/neutron.conf", NEUTRONS_CONF)
    with container:
        yield Node(container)
    shutil.rmtree(work)


def start_neutrons_router(node: Node) -> None:
    """As Neutron does: a namespace, and keepalived in it as a child of somebody else's service."""
    node.shell(NEUTRONS_NETWORK)
    node.run(
        *("systemd-run", "--unit", "neutron-keepalived", "--collect"),
        *("ip", "netns", "exec", NAMESPACE, "keepalived", "--dont-fork", "--vrrp"),
        *("--use-file", "/etc/keepalived/neutron.conf"),
        *("--pid", "/run/neutron.pid", "--vrrp_pid", "/run/neutron-vrrp.pid"),
    )


# --- the package comes ---


def test_the_package_starts_havrrpd_and_leaves_keepalived_alone(node: Node, deb: Path) -> None:
    wait_until(lambda: "MASTER" in node.transitions("keepalived"), ELECTION, "a MASTER", 0.3)
    before = node.show("keepalived", "MainPID"), node.transitions("keepalived")
    shutil.copy(deb, node.container.path("/root/havrrpd.deb"))
    node.run("dpkg", "--force-unsafe-io", "--install", "/root/havrrpd.deb")
    assert node.say("systemctl", "is-active", "havrrpd") == "active"
    assert node.say("systemctl", "is-enabled", "havrrpd") == "enabled"
    assert node.say("dpkg", "--verify", "havrrpd") == ""
    assert (node.show("keepalived", "MainPID"), node.transitions("keepalived")) == before
    node.run("systemctl", "reload", "keepalived")  # it found no directories when it started


def test_the_version_is_everywhere_the_one_of_the_project(node: Node) -> None:
    version = repository.project()["version"]
    assert node.say("havrrpd", "--version") == f"havrrpd, version {version}"
    assert node.say("dpkg-query", "--show", "--showformat", "${Version}", "havrrpd") == version


def test_the_log_is_in_the_journal_as_json(node: Node) -> None:
    own = [name for name in node.events() if name.startswith("daemon.")]
    assert own == ["daemon.started", "daemon.ready"]


def test_the_shells_complete_the_commands(node: Node) -> None:
    bash = (
        ". /usr/share/bash-completion/completions/havrrpd; COMP_WORDS=(havrrpd un) COMP_CWORD=1;"
        '_havrrpd_completion havrrpd; echo "${COMPREPLY[@]}"'
    )
    assert node.say("bash", "-c", bash) == "undrain"
    fish = node.say("fish", "-c", "complete --do-complete 'havrrpd un'")
    assert fish.partition("\t")[0] == "undrain"
    zsh = "autoload -Uz compinit; compinit -D; echo $_comps[havrrpd]"
    assert node.say("zsh", "-fc", zsh) == "_havrrpd"


# --- what the operator does ---


def test_a_configuration_that_is_good_is_taken_by_reload(node: Node) -> None:
    pid = node.pid()
    node.write(CONFIG, CHECKS)
    node.run("systemctl", "reload", "havrrpd")
    node.steady(HOST)
    assert node.events().count("config.reloaded") == 1
    assert node.pid() == pid


def test_a_namespace_made_later_is_seen_and_entered_under_the_hardening(node: Node) -> None:
    node.shell(NEUTRONS_PLACES)
    start_neutrons_router(node)
    node.steady(HOST, NEUTRON)
    gateways = {
        gateway["address"]: (gateway["verdict"], gateway["method"])
        for router in (HOST, NEUTRON)
        for gateway in node.router(router)["gateways"]
    }
    assert gateways == {
        "198.51.100.1": ("reachable", "arp"),
        "2001:db8::1": ("reachable", "ndp"),
        "203.0.113.1": ("reachable", "icmp"),
        "2001:db8:1::1": ("reachable", "icmp"),
    }


@pytest.mark.parametrize("router", [HOST, NEUTRON])
def test_the_lever_and_the_notifications_work_under_the_hardening(node: Node, router: str) -> None:
    node.fail_over(router)


def test_its_capabilities_are_those_it_needs_and_no_others(node: Node) -> None:
    status = node.container.path(f"/proc/{node.pid()}/status").read_text()
    masks = {int(mask, 16) for mask in re.findall(r"Cap(?:Prm|Eff|Bnd):\s*(\w+)", status)}
    assert masks == {sum(1 << bit for bit in (DAC_OVERRIDE, *capabilities.NEEDED))}


def test_a_configuration_that_is_bad_makes_reload_fail_and_changes_nothing(node: Node) -> None:
    with node.nothing_moves():
        pid = node.pid()
        node.write(CONFIG, "[health_check]\ninterval = -1\n")
        assert node.run("systemctl", "reload", "havrrpd", check=False).returncode != 0
        assert "health_check.interval" in "\n".join(node.log()[-5:])
        assert node.say("systemctl", "is-active", "havrrpd") == "active"
        node.write(CONFIG, CHECKS)
        node.run("systemctl", "reload", "havrrpd")
        assert node.pid() == pid


def test_a_restart_moves_no_router(node: Node) -> None:
    with node.nothing_moves():
        pid = node.pid()
        node.run("systemctl", "restart", "havrrpd")
        assert node.pid() != pid


def test_stop_and_start_move_no_router(node: Node) -> None:
    with node.nothing_moves():
        node.run("systemctl", "stop", "havrrpd")
        assert node.show("havrrpd", "Result") == "success"
        assert node.events()[-1] == "daemon.stopping"
        assert node.run("havrrpd", "status", check=False).returncode == 1
        node.run("systemctl", "start", "havrrpd")


def test_an_upgrade_restarts_havrrpd_and_moves_no_router(node: Node) -> None:
    with node.nothing_moves():
        pid = node.pid()
        node.run("dpkg", "--force-unsafe-io", "--install", "/root/havrrpd.deb")
        assert node.pid() != pid
        assert node.container.path(CONFIG).read_text() == CHECKS


# --- what goes wrong ---


def test_the_watchdog_ends_a_havrrpd_that_hangs_and_it_comes_back(node: Node) -> None:
    with node.nothing_moves():
        pid = node.pid()
        node.run("kill", "-STOP", str(pid))
        wait_until(lambda: node.pid() != pid, WATCHDOG + 10.0, "another process", 0.3)
        assert any("Watchdog timeout" in line for line in node.log())


def test_one_that_was_killed_comes_back(node: Node) -> None:
    with node.nothing_moves():
        pid = node.pid()
        node.run("kill", "-KILL", str(pid))
        wait_until(lambda: node.pid() != pid, 10.0, "another process", 0.3)


# --- a boot ---


def test_after_a_boot_keepalived_has_found_its_fifo_and_its_lever(node: Node) -> None:
    node.container.reboot()
    node.steady(HOST)
    made = int(node.show("systemd-tmpfiles-setup", "ExecMainExitTimestampMonotonic"))
    started = int(node.show("keepalived", "ExecMainStartTimestampMonotonic"))
    assert made < started
    node.fail_over(HOST)
    fifo = ("stat", "--format", "%i", f"/run/havrrpd/notify/{HOST}")
    before = node.say(*fifo)
    node.run("systemctl", "reload", "keepalived")  # one that it made itself is another one now
    assert node.say(*fifo) == before


def test_keepalived_starts_also_when_havrrpd_can_not(node: Node) -> None:
    node.write(CONFIG, "nonsense")
    node.container.reboot()
    wait_until(lambda: "MASTER" in node.transitions("keepalived"), ELECTION, "a MASTER", 0.3)
    wait_until(lambda: node.show("havrrpd", "SubState") == "auto-restart", 10.0, "a failed start")
    node.write(CONFIG, CHECKS)
    start_neutrons_router(node)
    node.steady(HOST, NEUTRON)


# --- the end, and pip ---


def test_removal_lets_go_of_the_levers_and_moves_no_router(node: Node) -> None:
    node.write("/run/havrrpd/levers/lowered", "-100\n")
    with node.keepalived_undisturbed():
        node.run("dpkg", "--remove", "havrrpd")
    assert node.shell("cat /run/havrrpd/levers/*").split() == ["0", "0"]
    assert node.run("pidof", "havrrpd", check=False).stdout == ""


def test_purge_leaves_nothing_but_what_the_next_boot_removes(node: Node) -> None:
    node.run("touch", "/var/lib/havrrpd/drained")
    with node.keepalived_undisturbed():
        node.run("dpkg", "--purge", "havrrpd")
    left = node.shell("find / -xdev -name '*havrrpd*'; find /run -name '*havrrpd*'").split()
    assert set(left) == {"/root/havrrpd.deb", "/run/havrrpd"}


def test_the_readmes_steps_with_pip_lead_to_the_same_service(node: Node, wheels: Path) -> None:
    root = node.container.path("/root")
    shutil.copytree(wheels, root / "wheels")
    repository.copy_sources(root / "havrrpd")
    with node.keepalived_undisturbed():
        node.shell(
            f"cd /root/havrrpd\n{repository.commands_of('pip and systemd')}",
            {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/root/wheels"},
        )
        node.write(CONFIG, CHECKS)
        node.run("systemctl", "reload", "havrrpd")
        node.steady(HOST, NEUTRON)
    assert node.say("systemctl", "is-enabled", "havrrpd") == "enabled"
    assert node.show("keepalived", "DropInPaths").count("havrrpd.conf") == 1
    assert node.say("zsh", "-fc", "autoload -Uz compinit; compinit -D; echo $_comps[havrrpd]")
