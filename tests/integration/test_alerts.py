"""Every alert fires in a real Prometheus for what really breaks, and for nothing else.

The times in the rules are shortened: a `for` to 2 s, the windows to a thirtieth.
"""

from __future__ import annotations

import contextlib
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

import havrrpd
from havrrpd.lab import daemon, prometheus
from havrrpd.lab.client import get
from havrrpd.lab.keepalived import LEVER_DIR
from havrrpd.lab.lab import MONITOR, Lab
from havrrpd.lab.network import Network
from havrrpd.lab.plan import RULES, whole
from havrrpd.lab.process import Process
from havrrpd.lab.router import Router
from havrrpd.lab.steady import masters, wait_steady
from havrrpd.lab.verify import STEPS
from havrrpd.lab.verify.trial import Trial
from havrrpd.lab.waiting import LabError, wait_until
from tests.exported import promtool
from tests.unit.test_dashboard import expressions

pytestmark = pytest.mark.root

LIMIT = 30.0  # seconds until an alert fires
SOURCE = str(Path(havrrpd.__file__).parents[1])
CLI = ["env", f"PYTHONPATH={SOURCE}", sys.executable, "-m", "havrrpd"]
SECONDS = {"m": 60, "h": 3600}
GOOD = 5  # steps of the verification that break nothing
# A havrrpd with a bug that no fault of the outside world makes: its netlink source hangs.
DEAF = """
import asyncio
from havrrpd.cli import main
from havrrpd.sources.netlink import Netlink
async def hang(self):
    await asyncio.Event().wait()
Netlink.run = hang
main()
"""


def shortened(rules: str) -> str:
    def lasting(match: re.Match[str]) -> str:
        return f"for: {max(2, int(match[1]) * SECONDS[match[2]] // 2400)}s"

    def window(match: re.Match[str]) -> str:
        return f"[{max(6, int(match[1]) * SECONDS[match[2]] // 30)}s]"

    return re.sub(r"\[(\d+)([mh])\]", window, re.sub(r"for: (\d+)([mh])", lasting, rules))


class Alerts:
    """What has fired in a lab, by the name of the alert."""

    def __init__(self, lab: Lab) -> None:
        self._monitor = lab.any_node(MONITOR)
        self.seen: set[str] = set()

    def firing(self) -> frozenset[str]:
        now = prometheus.firing(self._monitor)
        self.seen |= now
        return now

    def wait_for(self, *names: str, each: Callable[[], None] = lambda: None) -> None:
        """Until all of them have fired; `each` is called between two looks."""

        def fired() -> bool:
            each()
            self.firing()
            return set(names) <= self.seen

        wait_until(fired, LIMIT, f"{', '.join(names)} (seen: {sorted(self.seen)})", every=0.2)

    def wait_silent(self, *but: str) -> None:
        def silent() -> bool:
            return self.firing() <= set(but)

        wait_until(silent, LIMIT, f"silence but for {but}", every=0.2)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    rules = tmp_path / "rules.yml"
    rules.write_text(shortened(RULES.read_text()))
    with Lab(whole(2, rules=str(rules))) as running:
        yield running


def start(lab: Lab, name: str, more: str = "", program: str | None = None) -> Process:
    """havrrpd on that node with `more` in its configuration, or with another program for it."""
    node = lab.node(name)
    node.path(daemon.CONFIG).write_text(daemon.configuration(name, lab.plan) + more)
    python = (
        [sys.executable, "-m", "havrrpd"] if program is None else [sys.executable, "-c", program]
    )
    argv = [*python, "run", "--config", daemon.CONFIG]
    process = node.start(argv, f"{name}-havrrpd.log", {"PYTHONPATH": SOURCE})
    lab.havrrpd[name] = process
    return process


def idle(lab: Lab) -> str:
    """A node that is MASTER of nothing."""
    return next(name for name in lab.names if name not in masters(lab).values())


def change(lab: Lab, name: str, router: Router, verb: str) -> None:
    """Add or delete the address of its project, which keepalived does not track."""
    address = router.project_addresses[0]
    lab.node(name).exec(["ip", "-n", router.namespace, "addr", verb, address, "dev", router.qr])


@pytest.mark.alone
def test_every_alert_fires_when_its_fault_is_there_and_none_while_all_is_well(lab: Lab) -> None:
    wait_steady(lab)
    alerts = Alerts(lab)
    nothing_is_wrong(lab, alerts)
    what_moves_nothing(lab, alerts)
    overlays_are_lost(lab, alerts)
    alerts.wait_silent()
    keepalived_hangs_and_dies(lab, alerts)
    nobody_is_heard_and_havrrpd_is_deaf(lab, alerts)
    havrrpd_is_late_and_routers_flap(lab, alerts)
    gateways_are_lost(lab, alerts)
    assert alerts.seen == set(re.findall(r"- alert: (\w+)", RULES.read_text()))


def nothing_is_wrong(lab: Lab, alerts: Alerts) -> None:
    every_node_is_up = dict.fromkeys(lab.names, "1")
    wait_until(
        lambda: prometheus.query(lab.any_node(MONITOR), "up") == every_node_is_up, 10.0, "scrapes"
    )
    alerts.wait_silent()  # its first look may have come before havrrpd
    with Trial(lab, print) as trial:
        for _, step in STEPS[:GOOD]:
            step(trial)
            assert alerts.firing() == frozenset()
    assert prometheus.query(lab.any_node(MONITOR), "up") == every_node_is_up
    for name in lab.names:
        shown = get(lab.node(name).path("/run/havrrpd/havrrpd.sock"), "/metrics", 5.0)
        assert promtool("check", "metrics", stdin=shown) == ""
    for title, expression in expressions():
        seen = prometheus.series(lab.any_node(MONITOR), expression)
        assert seen or "> 0" in expression or "== 1" in expression, title


def what_moves_nothing(lab: Lab, alerts: Alerts) -> None:
    """A MASTER without an address, a BACKUP with one, a drained node without levers, a bad file."""
    first, second = lab.routers[:2]
    master, spare = masters(lab)[first.id], idle(lab)
    node = lab.node(spare)
    change(lab, master, first, "del")
    change(lab, spare, second, "add")
    node.path(LEVER_DIR).rename(node.path(f"{LEVER_DIR}-away"))
    node.exec([*CLI, "drain"])
    good = node.path(daemon.CONFIG).read_text()
    node.path(daemon.CONFIG).write_text(f"{good}\n[bogus]\n")
    lab.havrrpd[spare].signal(signal.SIGHUP)
    alerts.wait_for(
        *("VrrpAddressesMissing", "VrrpWitnessesDisagree", "VrrpLeverMissing"),
        *("HavrrpdDrainedLong", "HavrrpdConfigReloadFailed"),
    )
    node.path(f"{LEVER_DIR}-away").rename(node.path(LEVER_DIR))
    node.path(daemon.CONFIG).write_text(good)
    lab.havrrpd[spare].signal(signal.SIGHUP)
    node.exec([*CLI, "undrain"])
    change(lab, spare, second, "del")
    change(lab, master, first, "add")
    wait_steady(lab)


def overlays_are_lost(lab: Lab, alerts: Alerts) -> None:
    master = masters(lab)[lab.routers[0].id]
    cut = [name for name in lab.names if name != master]
    for name in cut:
        lab.unplug(Network.OVERLAY, name)
    alerts.wait_for("VrrpFault", "VrrpRedundancyLost")
    for name in cut:
        lab.plug(Network.OVERLAY, name)
    wait_steady(lab)


def keepalived_hangs_and_dies(lab: Lab, alerts: Alerts) -> None:
    """The first router's MASTER hangs, another node takes over; the second router is killed."""
    first, second = lab.routers[:2]
    old = masters(lab)[first.id]
    lab.keepalived[old, first.number].pause()
    for name in lab.names:
        lab.kill_keepalived(name, second.number)
    alerts.wait_for("VrrpAdvertsStopped", "VrrpSplitBrain", "VrrpNoMaster")
    alerts.wait_for("KeepalivedDown", "VrrpAddressesOrphaned")
    new = next(name for name in lab.holders(first.number) if name != old)
    lab.kill_havrrpd(new)
    alerts.wait_for("HavrrpdDown", "VrrpDuplicateMaster")
    lab.start_havrrpd(new)
    lab.keepalived[old, first.number].resume()
    for name in lab.names:
        lab.start_keepalived(name, second.number)
    wait_steady(lab)


def nobody_is_heard_and_havrrpd_is_deaf(lab: Lab, alerts: Alerts) -> None:
    """Every keepalived of a router hangs, the MASTER last: who is BACKUP does not take over.

    On one node havrrpd is started three times, the last time with a source that hangs.
    """
    first, name = lab.routers[0], idle(lab)
    master = masters(lab)[first.id]
    for each in sorted(lab.names, key=lambda node: node == master):
        lab.keepalived[each, first.number].pause()
    for program in (None, None, DEAF):
        before = started_at(lab, name)
        lab.kill_havrrpd(name)
        start(lab, name, program=program)
        wait_until(partial(has_another, lab, name, before), 10.0, "a scrape of the new process")
    alerts.wait_for("VrrpNoMasterHeard", "HavrrpdDeaf", "HavrrpdBlind", "HavrrpdRestarts")
    lab.kill_havrrpd(name)
    for each in lab.names:
        lab.keepalived[each, first.number].resume()


def started_at(lab: Lab, name: str) -> str | None:
    """When the process began that Prometheus scraped there last; None: nobody answered."""
    asked = f"process_start_time_seconds{{instance='{name}'}}"
    return prometheus.query(lab.any_node(MONITOR), asked).get(name)


def has_another(lab: Lab, name: str, before: str | None) -> bool:
    """Whether Prometheus scrapes another process there than the one that began then."""
    return started_at(lab, name) not in (None, before)


def havrrpd_is_late_and_routers_flap(lab: Lab, alerts: Alerts) -> None:
    """It is stopped for most of the time, and more changes meanwhile than its buffer can hold."""
    name = next(each for each in lab.names if not lab.havrrpd[each].running)
    start(lab, name, more="[discovery]\nreceive_buffer = 4096\n")
    wait_steady(lab)
    node, router = lab.node(name), lab.routers[0]
    addresses = [f"10.99.{high}.{low}/32" for high in range(2) for low in range(200)]
    script = {
        verb: "".join(f"address {verb} {address} dev lo\n" for address in addresses)
        for verb in ("add", "del")
    }

    def disturb() -> None:
        lab.havrrpd[name].signal(signal.SIGSTOP)
        for verb in ("add", "del"):
            node.exec(["ip", "-n", router.namespace, "-batch", "-"], stdin=script[verb])
        time.sleep(0.5)  # the fault itself: it gets no CPU
        lab.havrrpd[name].signal(signal.SIGCONT)
        for holder in lab.holders(router.number):
            with contextlib.suppress(LabError):  # it is about to move
                lab.node(holder).exec([*CLI, "failover", router.id])

    alerts.wait_for("HavrrpdLate", "HavrrpdOverruns", "VrrpFlapping", each=disturb)


def gateways_are_lost(lab: Lab, alerts: Alerts) -> None:
    lab.break_gateway()
    alerts.wait_for("VrrpGatewayLost", "VrrpGatewayLostOnNode", "VrrpRoundRobin")
