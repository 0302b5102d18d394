"""The whole daemon on nodes of the lab, with real keepalived: every promise, problem and cause."""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from havrrpd.lab.lab import Lab
from havrrpd.lab.network import Network
from havrrpd.lab.process import Process
from havrrpd.lab.waiting import LabError, wait_until

pytestmark = pytest.mark.root

QUICK = "[election]\nsettle = 0.25\n"


class Watched:
    """A lab, and the words in which a test asks what its havrrpds say."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.captured: list[Process] = []

    def router(self, node: str, number: int = 1) -> dict[str, Any]:
        wanted = self.lab.routers[number - 1].id
        routers = self.lab.node(node).status()["routers"]
        found = [router for router in routers if router["router"] == wanted]
        if not found:
            raise LabError(f"{node} does not list router {number} yet")
        router: dict[str, Any] = found[0]
        return router

    def instance(self, node: str) -> dict[str, Any]:
        instance: dict[str, Any] = self.router(node)["instances"][0]
        return instance

    def states(self) -> dict[str, str]:
        living = [n for n in self.lab.names if self.lab.havrrpd[n].running]
        return {node: self.router(node)["state"] for node in living}

    def steady(self) -> str:
        """Wait until one node is MASTER and the others are BACKUP; returns the MASTER."""
        others = len(self.lab.names) - 1

        def master() -> str | None:
            states = self.states()
            if sorted(states.values()) != ["BACKUP"] * others + ["MASTER"]:
                raise LabError(f"states: {states}")
            return next(node for node, state in states.items() if state == "MASTER")

        return str(wait_until(master, 20.0, "one MASTER, the others BACKUP"))

    def reachable(self) -> str:
        """Wait for a steady lab whose MASTER reaches its gateways; returns the MASTER."""
        master = self.steady()
        wait_until(
            lambda: self.router(master)["connectivity"] == "reachable", 10.0, "gateways reachable"
        )
        return master

    def wait_state(self, node: str, state: str, limit: float = 10.0) -> dict[str, Any]:
        wait_until(lambda: self.router(node)["state"] == state, limit, f"{node} is {state}")
        return self.instance(node)["last_transition"] or {}

    def wait_cause(self, node: str, state: str, cause: str, limit: float = 10.0) -> None:
        def seen() -> bool:
            last = self.instance(node)["last_transition"]
            if last and (last["to"], last["cause"]) == (state, cause):
                return True
            raise LabError(f"last transition of {node}: {last}")

        wait_until(seen, limit, f"{node} went {state} because of {cause}")

    def wait_problem(self, node: str, problem: str, limit: float = 12.0) -> None:
        def seen() -> bool:
            router = self.router(node)
            everything = [*router["problems"], *self.instance(node).get("problems", [])]
            if problem in everything:
                return True
            raise LabError(f"{node}: {router['state']} {everything}")

        wait_until(seen, limit, f"{node} shows {problem}")

    def wait_no_problems(self, node: str, limit: float = 15.0) -> None:
        wait_until(
            lambda: not self.router(node)["problems"] or None, limit, f"{node} without problems"
        )

    def other(self, *nodes: str) -> str:
        return next(node for node in self.lab.names if node not in nodes)

    def havrrpd(self, node: str, *words: str) -> str:
        return self.lab.node(node).exec([sys.executable, "-m", "havrrpd", *words])

    def metric(self, node: str, name: str) -> float:
        """The sum of a metric's series."""
        fetch = "import urllib.request as r; print(r.urlopen('{}').read().decode())"
        url = "http://127.0.0.1:9912/metrics"
        text = self.lab.node(node).exec([sys.executable, "-c", fetch.format(url)])
        lines = (line for line in text.splitlines() if line.startswith(name + "{"))
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    def capture(self, node: str) -> list[Process]:
        """Capture what leaves the router's qr- and qg- interfaces on a node."""
        router = self.lab.routers[0]
        started = []
        for interface in (router.qr, router.qg):
            argv = ["ip", "netns", "exec", router.namespace, "tcpdump", "-n", "-Q", "out"]
            log = f"{node}-{interface}-{len(self.captured)}.tcpdump"
            process = self.lab.node(node).start([*argv, "-i", interface], log)
            self.captured.append(process)
            started.append(process)
        for process in started:
            wait_until(partial(_listens, process), 5.0, "a capture")
        return started

    def packets(self, captures: list[Process]) -> list[int]:
        """End the captures; how many packets each has seen."""
        for process in captures:
            process.signal(signal.SIGINT)
            process.wait(5.0)
        found = [re.search(r"^(\d+) packets? captured", p.log.read_text(), re.M) for p in captures]
        return [int(match[1]) for match in found if match]

    def namespace_exec(self, node: str, command: str) -> None:
        namespace = self.lab.routers[0].namespace
        self.lab.node(node).shell(f"ip netns exec {namespace} sh -euc '{command}'")


def _listens(process: Process) -> bool:
    return "listening" in process.log.read_text()


@contextmanager
def watched(
    nodes: int = 3, more: str = QUICK, priorities: dict[str, int] | None = None, **options: bool
) -> Iterator[Watched]:
    with Lab(
        nodes=nodes, havrrpd_config=more, keep_logs=True, priorities=priorities, **options
    ) as lab:
        yield Watched(lab)


def test_a_router_is_seen_alike_by_all_its_witnesses() -> None:
    with watched() as seen:
        master = seen.reachable()
        holders = seen.lab.holders()
        assert holders == [master]
        wait_until(lambda: seen.instance(master)["witnesses"]["wire"] == "sending", 5.0, "adverts")
        instance = seen.instance(master)
        assert instance["witnesses"]["process"] == "running"
        assert instance["witnesses"]["kernel"] == "all"
        assert instance["witnesses"]["notification"] == "MASTER"
        assert all(address["present"] for address in instance["virtual_addresses"])
        assert len(instance["virtual_addresses"]) == 5
        router = seen.router(master)
        assert {gateway["address"] for gateway in router["gateways"]} == {
            "203.0.113.1",
            "fd00:203:0:113::1",
        }
        for node in set(seen.lab.names) - {master}:
            backup = seen.instance(node)
            assert backup["witnesses"]["kernel"] == "none"
            assert backup["witnesses"]["wire"] == "hearing"
            assert len(backup["masters_heard"]) == 1
            assert seen.router(node)["gateways"] == []
        for node in seen.lab.names:
            assert seen.lab.node(node).status()["summary"]["problems"] == 0


def test_a_node_that_is_not_master_sends_nothing_from_the_routers_own_interfaces() -> None:
    with watched() as seen:
        master = seen.reachable()
        backup = seen.other(master)
        captures = seen.capture(backup)
        checks = "havrrpd_gateway_probes_total"
        before = seen.metric(master, checks)
        wait_until(lambda: seen.metric(master, checks) > before + 10, 15.0, "ten more probes")
        assert seen.packets(captures) == [0, 0]
        # the same for one that just gave the role up: no probe, no neighbour request of the kernel
        seen.havrrpd(master, "failover", seen.lab.routers[0].id, "--wait")
        seen.wait_cause(master, "BACKUP", "failover_requested")
        captures = seen.capture(master)
        new = seen.reachable()
        before = seen.metric(new, checks)
        wait_until(lambda: seen.metric(new, checks) > before + 10, 15.0, "ten more probes")
        assert seen.packets(captures) == [0, 0]


def test_a_lost_gateway_moves_the_router_and_it_stays_there() -> None:
    with watched() as seen:
        old = seen.reachable()
        seen.lab.break_gateway(old)
        seen.wait_cause(old, "BACKUP", "gateway_lost", 15.0)
        new = seen.reachable()
        assert new != old
        seen.wait_cause(new, "MASTER", "peer_resigned")
        assert seen.router(old)["election"]["tried"]
        assert seen.instance(old)["effective_priority"] in range(2, 17)
        seen.lab.heal_gateway(old)
        wait_until(
            lambda: not seen.router(old)["election"]["tried"], 30.0, "the outage is over for it"
        )
        assert seen.steady() == new


def test_without_a_lever_a_lost_gateway_is_only_shown() -> None:
    with watched(nodes=2, lever=False) as seen:
        master = seen.reachable()
        seen.lab.break_gateway(master)
        seen.wait_problem(master, "gateway_unreachable")
        seen.wait_problem(master, "lever_missing")
        assert seen.router(master)["state"] == "MASTER"
        assert seen.router(master)["election"]["lever"] is None
        with pytest.raises(LabError, match="lever_missing"):
            seen.havrrpd(master, "failover", seen.lab.routers[0].id)


def test_an_operator_moves_and_drains_with_the_command_line() -> None:
    with watched() as seen:
        first = seen.reachable()
        router = seen.lab.routers[0].id
        seen.havrrpd(first, "failover", router, "--wait")
        seen.wait_cause(first, "BACKUP", "failover_requested")
        second = seen.steady()
        assert second != first
        seen.havrrpd(second, "drain", "--wait")
        seen.wait_cause(second, "BACKUP", "drained")
        third = seen.steady()
        assert third != second
        assert seen.router(second)["election"]["phase"] == "drained"
        assert seen.instance(second)["effective_priority"] == 1
        seen.lab.kill_havrrpd(second)
        seen.lab.start_havrrpd(second)
        wait_until(
            lambda: seen.router(second)["election"]["phase"] == "drained", 10.0, "still drained"
        )
        seen.havrrpd(second, "undrain")
        wait_until(
            lambda: seen.instance(second)["effective_priority"] > 16, 5.0, "no longer drained"
        )


def test_observe_only_moves_nothing() -> None:
    with watched(nodes=2, more="[election]\nobserve_only = true\n") as seen:
        master = seen.reachable()
        seen.lab.break_gateway(master)
        seen.wait_problem(master, "gateway_unreachable")
        assert seen.router(master)["state"] == "MASTER"
        lever = seen.lab.node(master).path(f"/run/havrrpd/levers/{seen.lab.routers[0].id}")
        assert lever.read_text().strip() == "0"


def test_a_killed_keepalived_leaves_its_addresses_and_is_said_so() -> None:
    with watched(nodes=2) as seen:
        master = seen.steady()
        seen.lab.kill_keepalived(master)
        seen.wait_cause(master, "STOPPED", "keepalived_died", 2.0)
        seen.wait_problem(master, "keepalived_down")
        seen.wait_problem(master, "addresses_orphaned")
        other = seen.other(master)
        seen.wait_cause(other, "MASTER", "peer_silent")
        seen.lab.start_keepalived(master)
        seen.wait_state(master, "BACKUP")
        seen.wait_no_problems(master)


def test_a_stopped_keepalived_is_no_accident() -> None:
    with watched(nodes=2) as seen:
        master = seen.steady()
        seen.lab.stop_keepalived(master)
        seen.wait_cause(master, "STOPPED", "keepalived_stopped", 5.0)
        seen.wait_cause(seen.other(master), "MASTER", "peer_resigned")
        assert seen.router(master)["problems"] == ["keepalived_down"]
        seen.lab.start_keepalived(master)
        seen.wait_cause(master, "BACKUP", "started")


def test_a_hung_keepalived_is_shown_by_the_wire() -> None:
    with watched(nodes=2) as seen:
        master = seen.steady()
        other = seen.other(master)
        seen.lab.keepalived[master, 1].pause()
        seen.wait_problem(master, "adverts_stopped")
        seen.wait_state(other, "MASTER")
        seen.wait_problem(master, "duplicate_master")
        seen.lab.keepalived[master, 1].resume()
        seen.steady()
        for node in (master, other):
            seen.wait_no_problems(node)


def test_a_backup_that_hears_nobody_says_so() -> None:
    with watched(nodes=2) as seen:
        master = seen.steady()
        backup = seen.other(master)
        seen.lab.keepalived[backup, 1].pause()
        seen.lab.stop_keepalived(master)
        seen.wait_problem(backup, "no_master_heard")
        seen.lab.keepalived[backup, 1].resume()
        seen.wait_state(backup, "MASTER")
        seen.wait_no_problems(backup)


def test_links_and_addresses_that_go_are_causes() -> None:
    with watched(nodes=2) as seen:
        router = seen.lab.routers[0]
        first = seen.steady()
        seen.namespace_exec(first, f"ip link set {router.ha} down")
        seen.wait_cause(first, "FAULT", "link_down")
        second = seen.other(first)
        seen.wait_cause(second, "MASTER", "peer_silent")
        seen.namespace_exec(first, f"ip link set {router.ha} up")
        seen.wait_cause(first, "BACKUP", "link_down")

        provider = router.provider_addresses[0]
        seen.namespace_exec(second, f"ip address del {provider} dev {router.qg}")
        seen.wait_problem(second, "addresses_missing")
        assert seen.router(second)["state"] == "MASTER"
        seen.namespace_exec(second, f"ip address add {provider} dev {router.qg}")
        seen.wait_no_problems(second)

        seen.namespace_exec(second, f"ip address del {router.virtual_address} dev {router.ha}")
        seen.wait_cause(second, "BACKUP", "address_removed")


def test_what_nothing_explains_has_an_unknown_cause() -> None:
    with watched(nodes=2) as seen:
        master = seen.steady()
        lever = seen.lab.node(master).path(f"/run/havrrpd/levers/{seen.lab.routers[0].id}")
        by_hand = lever.with_name("by-hand")
        standing = lever.read_text()
        by_hand.write_text("-254\n")
        by_hand.rename(lever)
        seen.wait_cause(master, "FAULT", "unknown")
        by_hand.write_text(standing)
        by_hand.rename(lever)
        seen.wait_state(master, "BACKUP")


def test_a_false_notification_is_not_believed() -> None:
    with watched(nodes=2) as seen:
        master = seen.steady()
        router = seen.lab.routers[0]
        fifo = seen.lab.node(master).path(f"/run/havrrpd/notify/{router.id}")
        fifo.write_text(f'INSTANCE "VR_{router.vrid}" BACKUP 150\n')
        seen.wait_problem(master, "witnesses_disagree")
        assert seen.router(master)["state"] == "MASTER"
        fifo.write_text(f'INSTANCE "VR_{router.vrid}" MASTER 150\n')
        seen.wait_no_problems(master)


def test_a_split_and_its_healing() -> None:
    with watched(nodes=2) as seen:
        master = seen.steady()
        other = seen.other(master)
        seen.lab.unplug(Network.HA, other)
        seen.wait_cause(other, "MASTER", "peer_silent")
        seen.lab.plug(Network.HA, other)
        seen.steady()
        loser = next(n for n, state in seen.states().items() if state == "BACKUP")
        seen.wait_cause(loser, "BACKUP", "preempted")


def test_a_higher_priority_preempts() -> None:
    priorities = {"network1": 150, "network2": 100}
    with watched(nodes=2, priorities=priorities, nopreempt=False) as seen:
        wait_until(lambda: seen.steady() == "network1", 20.0, "the higher priority is MASTER")
        seen.lab.stop_keepalived("network1")
        seen.wait_cause("network2", "MASTER", "peer_resigned")
        seen.lab.start_keepalived("network1")
        seen.wait_cause("network1", "MASTER", "preempted", 20.0)
        seen.wait_cause("network2", "BACKUP", "preempted")


def test_havrrpd_killed_as_it_resigns_leaves_no_router_without_a_master() -> None:
    with watched(nodes=2) as seen:
        master = seen.reachable()
        router = seen.lab.routers[0]
        lever = seen.lab.node(master).path(f"/run/havrrpd/levers/{router.id}")
        other = seen.other(master)
        seen.lab.stop_keepalived(other)
        seen.lab.break_gateway(master)
        wait_until(lambda: lever.read_text().strip() == "-254", 15.0, "it resigns")
        seen.lab.kill_havrrpd(master)
        seen.lab.start_havrrpd(master)
        wait_until(lambda: int(lever.read_text()) > -254, 5.0, "the lever is put right")
        seen.wait_state(master, "MASTER", 15.0)


def test_stopping_and_starting_havrrpd_moves_no_router() -> None:
    with watched(nodes=2) as seen:
        master = seen.reachable()
        for node in seen.lab.names:
            seen.lab.stop_havrrpd(node)
            assert seen.lab.holders() == [master]
            seen.lab.start_havrrpd(node)
        assert seen.steady() == master
        since = seen.instance(master)["last_transition"]
        assert since["cause"] == "started"


def test_status_is_a_table_and_json_with_exit_codes() -> None:
    with watched(nodes=2) as seen:
        master = seen.reachable()
        table = seen.havrrpd(master, "status")
        assert "MASTER" in table
        document = json.loads(seen.havrrpd(master, "status", "-o", "json"))
        assert document["node"] == master
        seen.lab.kill_keepalived(master)
        seen.wait_problem(master, "keepalived_down")
        shown = seen.lab.node(master).shell(
            f"{sys.executable} -m havrrpd status >/dev/null && echo good || echo code $?"
        )
        assert shown.strip() == "code 3"
