"""havrrpd as a service on a Debian that boots in a container, beside keepalived's service.

The tests are one story on one container: the package comes to a keepalived that runs, then what an
operator does, what goes wrong, a boot, and the end of it.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from havrrpd import capabilities
from havrrpd.lab.waiting import wait_until
from tests.certificates import certificate
from tests.system import repository
from tests.system.node import (
    CHECKS,
    CONFIG,
    ELECTION,
    HOST,
    HOSTS_CONF_WITH_STANZA,
    NEUTRON,
    NEUTRONS_PLACES,
    Node,
    prepared,
)

pytestmark = pytest.mark.root

DAC_OVERRIDE = 1  # its bit, capabilities(7); the others are what the doctor looks for
WATCHDOG = 10.0  # seconds, havrrpd.service's WatchdogSec
COPY_A_DESCRIPTOR = (
    "import ctypes, os; copy = ctypes.CDLL(None).syscall(438, os.pidfd_open({pid}), 0, 0); "
    "assert copy >= 0"
)
AS_A_USER = ("setpriv", "--reuid=www-data", "--regid=www-data", "--clear-groups")
WEB = """
[web]
tls_certificate = "/etc/havrrpd/tls/havrrpd.pem"
tls_key = "/etc/havrrpd/tls/havrrpd.key"
basic_auth_users = {{ alice = "{hashed}" }}
max_requests_per_second = 3
"""
# Without a password, with a wrong one, with the right one; then more than is allowed.
READ_OVER_TLS = """
import base64, http.client, ssl
connection = http.client.HTTPSConnection(
    "127.0.0.1", 9912, context=ssl._create_unverified_context()
)
for password in ("", "wrong", "right", *[""] * 20):
    said = "Basic " + base64.b64encode(f"alice:{password}".encode()).decode()
    connection.request("GET", "/status", headers={"Authorization": said} if password else {})
    answer = connection.getresponse()
    answer.read()
    print(answer.status)
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    work = tmp_path_factory.mktemp("container")
    with prepared(work) as container:
        yield Node(container)
    shutil.rmtree(work)


# --- the package comes ---


def test_the_package_starts_havrrpd_and_leaves_keepalived_alone(node: Node, deb: Path) -> None:
    wait_until(lambda: "MASTER" in node.transitions("keepalived"), ELECTION, "a MASTER", 0.3)
    before = node.hosts_keepalived()
    shutil.copytree(deb.parent, node.container.path("/root/dist"))
    node.shell(f"cd /root\n{repository.install_command()}")
    assert node.say("systemctl", "is-active", "havrrpd") == "active"
    assert node.say("systemctl", "is-enabled", "havrrpd") == "enabled"
    assert node.say("dpkg", "--verify", "havrrpd") == ""
    assert node.hosts_keepalived() == before


def test_the_steps_beside_plain_keepalived_give_it_the_stanza_and_move_nothing(node: Node) -> None:
    before = node.hosts_keepalived()
    stanza = node.say("havrrpd", "keepalived", "stanza", HOST)
    assert set(stanza.splitlines()) <= set(HOSTS_CONF_WITH_STANZA.splitlines())
    node.write("/etc/keepalived/keepalived.conf", HOSTS_CONF_WITH_STANZA)
    node.shell(repository.commands_of("Beside plain keepalived"))
    assert node.hosts_keepalived() == before


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
    node.start_neutrons_router()
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


def test_the_levers_and_the_notifications_work_under_the_hardening(node: Node) -> None:
    node.fail_over(HOST, NEUTRON)


def test_its_capabilities_are_those_it_needs_and_no_others(node: Node) -> None:
    status = node.container.path(f"/proc/{node.pid()}/status").read_text()
    masks = {int(mask, 16) for mask in re.findall(r"Cap(?:Prm|Eff|Bnd):\s*(\w+)", status)}
    assert masks == {sum(1 << bit for bit in (DAC_OVERRIDE, *capabilities.NEEDED))}


def test_the_doctor_finds_nothing_that_would_bite_and_needs_root_to_say_so(node: Node) -> None:
    found = json.loads(node.say("havrrpd", "doctor", "-o", "json"))
    levels = {finding["name"]: finding["level"] for finding in found["findings"]}
    assert set(levels.values()) <= {"note"}, found
    asked = node.run(*AS_A_USER, "havrrpd", "doctor", "-o", "json", check=False)
    unseen = {finding["name"] for finding in json.loads(asked.stdout)["findings"]}
    assert (asked.returncode, unseen >= {"not_root", "socket_denied"}) == (1, True), asked


def test_an_order_is_logged_with_who_gave_it(node: Node) -> None:
    (given, *_) = [json.loads(line) for line in node.log() if '"order.taken"' in line]
    assert (given["peer_uid"], given["peer_gid"]) == (0, 0)
    assert given["peer_pid"] > 0
    refused = node.run(*AS_A_USER, "havrrpd", "drain", check=False)
    assert (refused.returncode, "permission denied" in refused.stderr) == (1, True)


def test_tls_passwords_and_limits_work_under_the_hardening(node: Node, tmp_path: Path) -> None:
    pair = certificate(tmp_path)
    node.shell("install --directory --mode 0700 --owner www-data /etc/havrrpd/tls")
    for file in (pair.certificate, pair.key):
        shutil.copy(file, node.container.path(f"/etc/havrrpd/tls/{file.name}"))
    node.shell("chown www-data /etc/havrrpd/tls/*; chmod 0600 /etc/havrrpd/tls/*")
    hashed = node.shell("echo right | havrrpd config hash-password").strip()
    node.write(CONFIG, CHECKS + WEB.format(hashed=hashed))
    node.run("systemctl", "reload", "havrrpd")
    statuses = node.say("/usr/bin/python3", "-c", READ_OVER_TLS).split()
    assert statuses[:3] == ["401", "401", "200"]
    assert "429" in statuses[3:]
    node.write(CONFIG, CHECKS)
    node.run("systemctl", "reload", "havrrpd")
    node.run("rm", "-r", "/etc/havrrpd/tls")


def test_the_service_may_copy_a_descriptor_of_keepalived(node: Node) -> None:
    unit = node.say("systemctl", "cat", "havrrpd")
    for what in ("Type", "ExecStartPre", "ExecReload", "WatchdogSec", "Restart", "StateDirectory"):
        unit = re.sub(rf"(?m)^{what}=.*\n", "", unit)
    code = COPY_A_DESCRIPTOR.format(pid=node.show("keepalived", "MainPID"))
    probe = re.sub(
        r"(?m)^ExecStart=.*", f"Type=oneshot\nExecStart=/usr/bin/python3 -c '{code}'", unit
    )
    node.write("/run/systemd/system/probe.service", probe)
    node.run("systemctl", "daemon-reload")
    node.run("systemctl", "start", "probe")


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
        node.shell("dpkg --install /root/dist/*.deb")
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
    node.start_neutrons_router()
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
    assert {path for path in left if not path.startswith("/root/")} == {"/run/havrrpd"}


def test_the_steps_from_source_lead_to_the_same_service(node: Node, wheels: Path) -> None:
    root = node.container.path("/root")
    shutil.copytree(wheels, root / "wheels")
    repository.copy_sources(root / "havrrpd")
    with node.keepalived_undisturbed():
        node.shell(
            f"cd /root/havrrpd\n{repository.commands_of('From source, with systemd')}",
            {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/root/wheels"},
        )
        node.write(CONFIG, CHECKS)
        node.run("systemctl", "reload", "havrrpd")
        node.steady(HOST, NEUTRON)
    assert node.say("systemctl", "is-enabled", "havrrpd") == "enabled"
    assert node.show("keepalived", "DropInPaths").count("havrrpd.conf") == 1
    assert node.say("zsh", "-fc", "autoload -Uz compinit; compinit -D; echo $_comps[havrrpd]")
