"""The lab itself: real keepalived on several nodes, and nothing left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

import havrrpd
from havrrpd.lab.keepalived import Vrrp, check_script, configuration
from havrrpd.lab.lab import Lab
from havrrpd.lab.network import Network
from havrrpd.lab.node import Node
from havrrpd.lab.process import Process
from havrrpd.lab.relay import Relay
from havrrpd.lab.router import Router
from havrrpd.lab.table import rows
from havrrpd.lab.waiting import LabError, wait_until

ELECTION = 10.0  # seconds; Active_Down_Interval is 3.4 here
SOURCE = str(Path(havrrpd.__file__).parents[1])

root = pytest.mark.root


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab(havrrpd=False) as running:
        yield running


def one_holder(lab: Lab) -> str | None:
    holders = lab.holders()
    return holders[0] if len(holders) == 1 else None


def master(lab: Lab) -> str:
    """The one node that holds all addresses of the first router."""
    wanted = lab.routers[0].virtual_addresses

    def complete() -> str | None:
        holder = one_holder(lab)
        return holder if holder and wanted <= lab.addresses(holder) else None

    return wait_until(complete, ELECTION, "one node with all addresses")


def pings(lab: Lab, name: str, address: str) -> bool:
    argv = ["ping", "-c", "1", "-W", "1", address]
    try:
        lab.node(name).exec(["ip", "netns", "exec", lab.routers[0].namespace, *argv])
    except LabError:
        return False
    return True


def round_trips(lab: Lab, address: str) -> list[float]:
    """Seconds that pings over the HA network took, from the first node."""
    argv = ["ping", "-n", "-c", "5", "-i", "0.2", address]
    said = lab.node("network1").exec(["ip", "netns", "exec", lab.routers[0].namespace, *argv])
    return [float(text) / 1000 for text in re.findall(r"time=([\d.]+) ms", said)]


def reaches(lab: Lab, address: str) -> bool:
    return pings(lab, "network1", address)


def says(process: Process, text: str) -> bool:
    return text in process.log.read_text()


def capture(lab: Lab, name: str) -> list[Process]:
    """Capture what the node sends from the first router's qr- and qg- interfaces."""
    router = lab.routers[0]
    started = []
    for interface in (router.qr, router.qg):
        tcpdump = ["tcpdump", "-n", "-Q", "out", "-i", interface]
        argv = ["ip", "netns", "exec", router.namespace, *tcpdump]
        started.append(lab.node(name).start(argv, f"{name}-{interface}.tcpdump"))
    for process in started:
        wait_until(partial(says, process, "listening"), 5.0, "a capture")
    return started


def packets(captures: list[Process]) -> list[int]:
    """End the captures; how many packets each has seen."""
    for process in captures:
        process.signal(signal.SIGINT)
        process.wait(5.0)
    counts = (re.search(r"^(\d+) packets? captured", p.log.read_text(), re.M) for p in captures)
    return [int(count[1]) for count in counts if count]


def fetched(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=5.0) as response:
        body: bytes = response.read()
    return body


def processes_in(network_namespaces: set[str]) -> list[int]:
    """The pids that are in one of these network namespaces, each as its link text."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                namespace = os.readlink(entry / "ns/net")
            except OSError:
                continue  # it ended meanwhile, or is a zombie
            if namespace in network_namespaces:
                found.append(int(entry.name))
    return found


def namespaces_of(lab: Lab) -> set[str]:
    """The network namespaces of all the lab's nodes and of the keepalived processes in them."""
    pids = [node.pid for node in (*lab.nodes.values(), *lab.others.values())]
    pids += [keepalived.pid for keepalived in lab.keepalived.values()]
    return {os.readlink(f"/proc/{pid}/ns/net") for pid in pids}


# --- real keepalived ---


@root
def test_exactly_one_node_holds_the_addresses_and_the_others_hold_none_of_them(lab: Lab) -> None:
    holder = master(lab)
    for name in set(lab.names) - {holder}:
        assert not lab.routers[0].virtual_addresses & lab.addresses(name)


@root
def test_the_master_reaches_the_upstream_gateway_by_ipv4_and_ipv6(lab: Lab) -> None:
    holder = master(lab)
    wait_until(lambda: pings(lab, holder, "203.0.113.1"), 5.0, "an answer by IPv4")
    wait_until(lambda: pings(lab, holder, "fd00:203:0:113::1"), 5.0, "an answer by IPv6")


@root
def test_a_pulled_provider_cable_cuts_one_node_off_until_it_is_plugged_in_again(lab: Lab) -> None:
    holder = master(lab)
    wait_until(lambda: pings(lab, holder, "203.0.113.1"), 5.0, "an answer before")
    lab.break_gateway(holder)
    assert not pings(lab, holder, "203.0.113.1")
    lab.heal_gateway(holder)
    wait_until(lambda: pings(lab, holder, "203.0.113.1"), 5.0, "an answer after")
    assert lab.holders() == [holder]


@root
def test_the_upstream_gateway_can_be_lost_for_all_and_comes_back_with_both_families(
    lab: Lab,
) -> None:
    holder = master(lab)
    lab.break_gateway()
    assert not pings(lab, holder, "203.0.113.1")
    assert not pings(lab, holder, "fd00:203:0:113::1")
    lab.heal_gateway()
    wait_until(lambda: pings(lab, holder, "203.0.113.1"), 5.0, "an answer by IPv4")
    wait_until(lambda: pings(lab, holder, "fd00:203:0:113::1"), 5.0, "an answer by IPv6")


@root
def test_a_pulled_ha_cable_makes_two_masters_and_plugged_in_again_leaves_one(lab: Lab) -> None:
    holder = master(lab)
    lab.unplug(Network.OVERLAY, holder)
    wait_until(lambda: len(lab.holders()) == 2, ELECTION, "a split brain")
    lab.plug(Network.OVERLAY, holder)
    wait_until(lambda: one_holder(lab), ELECTION, "one holder again")


@root
def test_a_keepalived_that_stops_resigns_and_a_killed_one_leaves_its_addresses_behind(
    lab: Lab,
) -> None:
    first = master(lab)
    lab.stop_keepalived(first)
    assert first not in lab.holders()
    lab.start_keepalived(first)
    second = master(lab)
    lab.kill_keepalived(second)
    wait_until(lambda: len(lab.holders()) == 2, ELECTION, "addresses on two nodes")
    assert second in lab.holders()
    lab.start_keepalived(second)
    wait_until(lambda: one_holder(lab), ELECTION, "one holder again")


@root
def test_a_paused_keepalived_keeps_its_addresses_and_goes_on_when_resumed(lab: Lab) -> None:
    holder = master(lab)
    keepalived = lab.keepalived[holder, 1]
    keepalived.pause()
    wait_until(lambda: len(lab.holders()) == 2, ELECTION, "addresses on two nodes")
    keepalived.resume()
    wait_until(lambda: one_holder(lab), ELECTION, "one holder again")


@root
def test_the_routers_of_a_dead_node_move_to_another(lab: Lab) -> None:
    holder = master(lab)
    lab.kill_node(holder)
    assert master(lab) != holder


@root
def test_the_lever_moves_the_role() -> None:
    with Lab(nodes=2, havrrpd=False) as lab:
        holder = master(lab)
        lever = lab.node(holder).path(f"/run/havrrpd/levers/{lab.routers[0].id}")
        assert lever.read_text().strip() == "0"
        lever.with_suffix(".new").write_text("-254\n")
        lever.with_suffix(".new").rename(lever)
        wait_until(lambda: one_holder(lab) not in (holder, None), 5.0, "another MASTER")


@root
def test_a_node_that_is_not_master_sends_nothing_from_the_routers_own_interfaces() -> None:
    # Equal priorities can make two masters for a moment, and then both would rightly send.
    priorities = {"network1": 200, "network2": 150, "network3": 100}
    with Lab(havrrpd=False, priorities=priorities) as lab:
        assert master(lab) == "network1"
        never, next_one = capture(lab, "network3"), capture(lab, "network2")
        former = capture(lab, "network1")  # soon the kernel has multicast groups to leave
        lab.stop_keepalived("network1")
        assert master(lab) == "network2"
        lab.start_keepalived("network1")
        log = lab.logs / "network1-keepalived-1.log"
        wait_until(lambda: log.read_text().count("Entering BACKUP STATE") == 2, 5.0, "BACKUP")
        assert packets(never) == [0, 0]
        assert packets(former) == [0, 0]
        assert min(packets(next_one)) > 0


# --- the HA network with delay ---


@root
def test_frames_on_the_ha_network_are_late_by_the_delay_and_by_little_more() -> None:
    delay = 0.03
    with Lab(nodes=2, havrrpd=False, delay=delay) as lab:
        times = round_trips(lab, lab.routers[0].ha_address(2).split("/")[0])
    assert len(times) == 5
    assert min(times) >= 2 * delay
    assert min(times) < 2 * delay + 0.03  # the best of five: a busy machine is late now and then


@root
def test_with_delay_too_a_pulled_ha_cable_stops_the_frames_and_plugged_in_they_pass_again() -> None:
    with Lab(nodes=3, havrrpd=False, delay=0.002) as lab:
        second, third = (lab.routers[0].ha_address(number).split("/")[0] for number in (2, 3))
        wait_until(partial(reaches, lab, second), 5.0, "an answer before")
        lab.unplug(Network.OVERLAY, "network2")
        assert not reaches(lab, second)
        assert reaches(lab, third)
        lab.plug(Network.OVERLAY, "network2")
        wait_until(partial(reaches, lab, second), 5.0, "an answer after")


@root
def test_with_delay_too_a_dead_node_leaves_the_others_on_the_network() -> None:
    with Lab(nodes=3, havrrpd=False, delay=0.002) as lab:
        lab.kill_node("network2")
        address = lab.routers[0].ha_address(3).split("/")[0]
        wait_until(partial(reaches, lab, address), 5.0, "an answer")
        assert master(lab) != "network2"


@root
def test_the_late_switch_loses_no_checksum_that_a_sender_left_to_its_card() -> None:
    """Much data over TCP, which veth hands over in large segments with no checksum of their own."""
    size = 3_000_000
    with Lab(nodes=2, havrrpd=False, delay=0.002) as lab:
        namespace = ["ip", "netns", "exec", lab.routers[0].namespace]
        address = lab.routers[0].ha_address(1).split("/")[0]
        lab.node("network1").path("/run/page").mkdir()
        lab.node("network1").path("/run/page/data").write_bytes(bytes(size))
        serve = [sys.executable, "-m", "http.server", "--directory", "/run/page", "8000"]
        lab.node("network1").start([*namespace, *serve], "data.log")
        read = f"r.urlopen('http://{address}:8000/data', timeout=5).read()"
        fetch = f"import urllib.request as r; print(len({read}))"
        argv = [*namespace, sys.executable, "-c", fetch]
        said = wait_until(lambda: lab.node("network2").exec(argv), 15.0, "the data")
    assert int(said) == size


# --- pages ---


@root
def test_a_nodes_page_is_relayed_to_the_host_and_hangs_up_when_nobody_serves_it() -> None:
    with Lab(nodes=1, havrrpd=False) as lab, Relay([("network1", 9912)], lab.node) as relay:
        url = relay.urls["network1"]
        with pytest.raises(OSError):
            urllib.request.urlopen(url, timeout=5.0)
        lab.node("network1").path("/run/page").mkdir()
        lab.node("network1").path("/run/page/index.html").write_text("the page of network1")
        where = ["--bind", "127.0.0.1", "--directory", "/run/page", "9912"]
        lab.node("network1").start([sys.executable, "-m", "http.server", *where], "page.log")
        assert wait_until(lambda: fetched(url), 10.0, "the page") == b"the page of network1"


# --- nothing is left ---


@root
def test_nothing_is_left_when_the_lab_is_down() -> None:
    with Lab(nodes=2, havrrpd=False) as lab:
        namespaces = namespaces_of(lab)
        assert processes_in(namespaces)
        assert lab.logs.is_dir()
    assert processes_in(namespaces) == []
    assert not lab.logs.exists()


@root
def test_nothing_is_left_after_an_exception_not_even_with_a_keepalived_that_hangs() -> None:
    def fail() -> None:
        with Lab(nodes=2, havrrpd=False) as lab:
            seen.append(lab)
            namespaces.update(namespaces_of(lab))
            lab.keepalived["network1", 1].pause()
            raise RuntimeError("in the middle")

    seen: list[Lab] = []
    namespaces: set[str] = set()
    with pytest.raises(RuntimeError, match="in the middle"):
        fail()
    assert processes_in(namespaces) == []
    assert not seen[0].logs.exists()


@root
def test_the_logs_are_kept_when_that_was_asked_for_and_the_lab_failed(tmp_path: Path) -> None:
    lab = Lab(nodes=1, havrrpd=False, keep_logs=True)
    lab.up()
    lab.down(keep_logs=True)
    log = lab.logs / "network1-keepalived-1.log"
    assert "Starting Keepalived" in log.read_text()
    lab.logs.rename(tmp_path / "logs")


@root
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_when_the_lab_is_ended_by_a_signal(number: signal.Signals) -> None:
    script = """
import os, signal, sys
from havrrpd.lab.lab import Lab
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
with Lab(nodes=2, havrrpd=False) as lab:
    lab.keepalived["network1", 1].pause()
    pids = [n.pid for n in lab.nodes.values()] + [k.pid for k in lab.keepalived.values()]
    print(lab.logs, *(os.readlink(f"/proc/{pid}/ns/net") for pid in pids), flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": SOURCE},
        text=True,
    ) as process:
        assert process.stdout is not None
        logs, *namespaces = process.stdout.readline().split()
        assert processes_in(set(namespaces))
        process.send_signal(number)
        process.wait(10.0)
    wait_until(lambda: not processes_in(set(namespaces)), 5.0, "the end of every process")
    wait_until(lambda: not Path(logs).exists(), 5.0, "the end of the logs")


@root
def test_the_networks_of_the_host_are_the_same_before_during_and_after(tmp_path: Path) -> None:
    """In a host of its own, so that nobody else's interfaces come and go in it."""
    script = """
import json, subprocess
from havrrpd.lab.lab import Lab
def seen():
    run = lambda *argv: subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    return run("ip", "-oneline", "link"), run("ip", "netns"), open("/proc/mounts").read()
before = seen()
with Lab(nodes=2, havrrpd=False):
    during = seen()
print(json.dumps([before == during, before == seen()]))
"""
    host = Node("host", tmp_path)
    try:
        said = host.exec(["env", f"PYTHONPATH={SOURCE}", sys.executable, "-c", script])
    finally:
        host.kill()
    assert said.strip() == "[true, true]"


# --- clear errors, names and texts ---


@root
def test_a_command_that_fails_says_on_which_node_and_why() -> None:
    with Lab(nodes=1, havrrpd=False) as lab:
        with pytest.raises(LabError, match=r"^network1: ls /nowhere: .*No such file"):
            lab.node("network1").exec(["ls", "/nowhere"])
        with pytest.raises(LabError, match=r"^no node network9: there are network1$"):
            lab.kill_node("network9")


def test_waiting_says_what_it_waited_for_and_what_it_saw_last() -> None:
    with pytest.raises(LabError) as caught:
        wait_until(lambda: [], 0.0, "a MASTER")
    assert str(caught.value) == "a MASTER: not within 0 s, last seen: []"


def test_interface_names_fit_the_kernel_and_macs_are_shared_but_for_the_ha_port() -> None:
    router = Router(230)
    assert all(len(name) <= 15 for name in (router.ha, router.qr, router.qg))
    assert router.mac("ha", 1) != router.mac("ha", 2)
    assert router.mac("qr") != router.mac("qg")


def test_every_router_has_an_ha_address_of_its_own_on_every_node() -> None:
    addresses = {Router(r).ha_address(n) for r in range(1, 231) for n in range(1, 64)}
    assert len(addresses) == 230 * 63
    assert all(address.startswith(("169.254.19", "169.254.2")) for address in addresses)


def test_without_fifo_and_lever_the_configuration_names_neither() -> None:
    text = configuration(Router(1), "network1", Vrrp(fifo=False, lever=False, version=3))
    assert "havrrpd" not in text
    assert "vrrp_version 3" in text
    assert "advert_int 1\n" in text


def test_a_check_script_asks_the_gateway_only_where_the_address_is() -> None:
    text = configuration(Router(1), "network1", Vrrp(fifo=False, lever=False, check_script=True))
    assert "track_script {\n        gateway\n" in text
    assert "script_user root\n" in text
    assert "vrrp_script" not in configuration(Router(1), "network1", Vrrp())
    address, ping = check_script(Router(1)).splitlines()[1:]
    assert address.endswith("grep -qF ' 169.254.0.1/24 ' || exit 0")
    assert " 203.0.113.1 " in ping


@root
def test_with_a_check_script_a_master_without_its_gateway_gives_the_role_up() -> None:
    with Lab(havrrpd=False, lever=False, fifo=False, check_script=True) as lab:
        holder = wait_until(lambda: one_holder(lab), 15.0, "a MASTER, once the script succeeded")
        lab.break_gateway(holder)
        wait_until(lambda: one_holder(lab) not in (holder, None), 20.0, "another MASTER")


def test_a_priority_of_its_own_and_preemption_are_written_for_the_node() -> None:
    vrrp = Vrrp(priorities={"network2": 200}, nopreempt=False)
    assert "priority 200\n" in configuration(Router(1), "network2", vrrp)
    assert "priority 150\n" in configuration(Router(1), "network1", vrrp)
    assert "nopreempt" not in configuration(Router(1), "network1", vrrp)


def test_a_node_whose_havrrpd_does_not_answer_has_a_row_that_says_so() -> None:
    assert list(rows({"network1": None})) == [
        ("network1", "", "?", "", "havrrpd does not answer", "", "")
    ]


def test_a_row_shows_state_problems_gateways_and_the_part_in_the_election() -> None:
    router = {
        "router": Router(1).id,
        "state": "MASTER",
        "problems": ["gateway_unreachable"],
        "connectivity": "lost",
        "instances": [],
        "gateways": [{"address": "203.0.113.1", "verdict": "lost"}],
        "election": {"phase": "resigning", "tried": True, "standing": -254},
    }
    assert list(rows({"network1": {"routers": [router]}})) == [
        (
            "network1",
            Router(1).id[:8],
            "MASTER",
            "",
            "gateway_unreachable",
            "203.0.113.1 lost",
            "resigning, tried, standing -254",
        )
    ]
