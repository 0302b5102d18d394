"""A node of the lab loses the cable that carries a router's network, below its namespace."""

from __future__ import annotations

import pytest

from havrrpd.lab.daemon import CONFIG
from havrrpd.lab.network import Network
from havrrpd.lab.waiting import LabError, wait_until
from tests.integration.watched import QUICK, Watched, watched

pytestmark = pytest.mark.root

UPLINKS = f'{QUICK}\n[[router]]\nmatch = "*"\nuplinks = ["eth-ovl"]\n'
ACTIVE_DOWN_INTERVAL = 4.0  # at the most, with advert_int 1: RFC 9568 section 6.1


def test_a_master_that_loses_its_uplink_gives_the_router_up_and_does_not_take_it_back() -> None:
    with watched(more=UPLINKS) as seen:
        old, router = seen.steady(), seen.lab.routers[0]
        seen.lab.unplug(Network.OVERLAY, old)
        wait_until(lambda: not _held(seen, old), 1.0, f"no virtual address on {old}")
        new = wait_until(
            lambda: next(iter(seen.lab.holders()), None), ACTIVE_DOWN_INTERVAL + 1.0, "a new MASTER"
        )
        assert new != old
        seen.wait_cause(old, "FAULT", "link_down")
        seen.wait_cause(new, "MASTER", "peer_silent")
        election = seen.router(old)["election"]
        assert (election["phase"], election["uplinks_down"]) == ("resigning", ["eth-ovl"])
        assert not election["tried"]
        assert seen.metric(old, "havrrpd_resignations_total") == 1
        with pytest.raises(LabError, match="it is FAULT"):
            seen.havrrpd(old, "failover", router.id)

        moves = seen.instance(new)["transitions"]
        seen.lab.plug(Network.OVERLAY, old)
        seen.wait_cause(old, "BACKUP", "link_down")
        wait_until(lambda: seen.instance(old)["masters_heard"], 5.0, f"{old} hears the MASTER")
        assert seen.router(old)["election"]["uplinks_down"] == []
        assert seen.steady() == new
        assert seen.instance(new)["transitions"] == moves
        assert seen.metric(old, "havrrpd_resignations_total") == 1


def test_a_backup_that_loses_its_uplink_is_held_over_a_restart_and_as_configured() -> None:
    with watched(nodes=2, more=UPLINKS) as seen:
        master = seen.steady()
        backup = seen.other(master)
        seen.lab.node(backup).shell("ip link set eth-ovl down")
        seen.wait_cause(backup, "FAULT", "link_down")
        lever = seen.lab.node(backup).path(f"/run/havrrpd/levers/{seen.lab.routers[0].id}")
        gone = lever.with_name("gone")
        gone.write_text("-254\n")  # of a router that went while it was held
        seen.lab.stop_havrrpd(backup)
        assert int(lever.read_text()) > -254
        assert int(gone.read_text()) == 0
        seen.lab.start_havrrpd(backup)
        wait_until(lambda: lever.read_text().strip() == "-254", 3.0, f"{backup} is held again")
        seen.wait_state(backup, "FAULT")
        config = seen.lab.node(backup).path(CONFIG)
        text = config.read_text()
        config.write_text(text.replace('"eth-ovl"', ""))
        seen.havrrpd(backup, "reload")
        wait_until(lambda: int(lever.read_text()) > -254, 2.0, "no uplink is named any more")
        config.write_text(text)
        seen.havrrpd(backup, "reload")
        wait_until(lambda: int(lever.read_text()) == -254, 2.0, "the uplink is named again")
        assert seen.lab.holders() == [master]
        seen.lab.node(backup).shell("ip link set eth-ovl up")
        assert seen.steady() == master


def _held(seen: Watched, node: str) -> frozenset[str]:
    return seen.lab.addresses(node) & seen.lab.routers[0].virtual_addresses
