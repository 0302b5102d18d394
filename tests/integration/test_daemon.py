"""The whole daemon on nodes of the lab, with real keepalived: every promise, problem and cause."""

from __future__ import annotations

import json
import sys

import pytest

from havrrpd.lab.network import Network
from havrrpd.lab.waiting import LabError, wait_until
from tests.integration.watched import watched

pytestmark = pytest.mark.root


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
        shown = {address["address"] for address in instance["virtual_addresses"]}
        assert shown == seen.lab.routers[0].virtual_addresses
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
        seen.lab.unplug(Network.OVERLAY, other)
        seen.wait_cause(other, "MASTER", "peer_silent")
        seen.lab.plug(Network.OVERLAY, other)
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
