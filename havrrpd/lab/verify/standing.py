"""The steps that break nothing: what is there, where, and what it reaches."""

from __future__ import annotations

import time

from rich.console import Console

from havrrpd.lab import instance, prometheus
from havrrpd.lab.lab import COMPUTE, MONITOR, Lab
from havrrpd.lab.network import UPSTREAM, UPSTREAM_ADDRESSES
from havrrpd.lab.node import Node
from havrrpd.lab.router import FLOATING_ADDRESS, INSTANCE_ADDRESSES, router_without_ha
from havrrpd.lab.steady import masters, wait_steady
from havrrpd.lab.table import statuses, table
from havrrpd.lab.verify.trial import Trial
from havrrpd.lab.waiting import LabError, wait_until

_LOOPBACK = ("127.0.0.1/8", "::1/128")
_DISCOVERED = 15.0  # seconds: three scans, and more
_SCRAPED = 15.0  # seconds until Prometheus has asked everybody


def agents_alive(trial: Trial) -> str:
    lab = trial.lab
    wait_steady(lab)
    console = Console(width=160)
    with console.capture() as capture:
        console.print(table(statuses(lab)))
    trial.say(capture.get().rstrip())
    for name in lab.names:
        if not lab.havrrpd[name].running:
            raise LabError(f"havrrpd of {name} does not run")
    dead = [key for key, each in lab.keepalived.items() if not (each.running and each.vrrp_pid)]
    if dead:
        raise LabError(f"no keepalived: {dead}")
    monitor = lab.any_node(MONITOR)

    def scraped() -> bool:
        up = prometheus.query(monitor, "up")
        if sorted(up) == sorted(lab.names) and set(up.values()) == {"1"}:
            return True
        raise LabError(f"Prometheus sees {up}")

    wait_until(scraped, _SCRAPED, "Prometheus scrapes every havrrpd")
    return f"{len(lab.names)} nodes, {len(lab.keepalived)} keepalived, all seen by Prometheus"


def hidden_networks(trial: Trial) -> str:
    """Everybody on a project's network hears its routers' adverts, and no others."""
    lab = trial.lab
    began = time.time()
    time.sleep(3 * lab.plan.advert_int)  # the measurement itself
    own = {
        project: {
            router.ha_address(number).split("/")[0]
            for router in lab.routers
            if router.project == project
            for number in range(1, len(lab.names) + 1)
        }
        for project in range(1, lab.plan.projects + 1)
    }
    for heard in trial.wire.heard:
        if str(heard.source) not in own[heard.project]:
            raise LabError(f"{heard.source} was heard in project {heard.project}")
    counted = dict.fromkeys(own, 0)
    for sent in trial.wire.adverts(since=began):
        if str(sent.source) not in own[sent.project]:
            raise LabError(f"{sent.source} was sent to project {sent.project}")
        counted[sent.project] += 1
    if silent := [project for project, count in counted.items() if not count]:
        raise LabError(f"no adverts in project {silent}")
    deaf = _listeners(lab) - {(heard.node, heard.project) for heard in trial.wire.heard}
    if deaf:
        raise LabError(f"nothing was heard by {sorted(deaf)}")
    rates = ", ".join(f"project {project}: {count}" for project, count in counted.items())
    return f"adverts in {3 * lab.plan.advert_int:g} s: {rates}; none of the other project"


def routers_everywhere(trial: Trial) -> str:
    lab, alone = trial.lab, router_without_ha().namespace
    first = lab.node(lab.names[0])

    def shown() -> bool:
        return [each["namespace"] for each in first.status()["unprotected"]] == [alone]

    wait_until(shown, _DISCOVERED, "havrrpd shows the router that nobody protects")
    wanted = {router.namespace for router in lab.routers}
    for number, name in enumerate(lab.names, start=1):
        there = {line.split()[0] for line in lab.node(name).exec(["ip", "netns"]).splitlines()}
        expected = wanted | {alone} if number == 1 else wanted
        if there != expected:
            raise LabError(f"{name} differs by {sorted(there ^ expected)}")
    return (
        f"{len(wanted)} routers on {len(lab.names)} nodes; the one without HA on {lab.names[0]}, "
        "shown as not protected"
    )


def addresses_on_masters_only(trial: Trial) -> str:
    lab = trial.lab
    masters_now = masters(lab)
    counted = 0
    for router in lab.routers:
        for number, name in enumerate(lab.names, start=1):
            own = {*_LOOPBACK, router.ha_address(number)}
            if name == masters_now[router.id]:
                own |= router.virtual_addresses
            if wrong := sorted(own ^ lab.addresses(name, router.number)):
                raise LabError(f"{router.id[:8]} on {name} differs by {wrong}")
        counted += len(router.virtual_addresses)
    return f"{counted} addresses on {len(set(masters_now.values()))} of {len(lab.names)} nodes"


def instance_reached(trial: Trial) -> str:
    inside = ["ip", "netns", "exec", instance.NAMESPACE]
    compute, upstream = trial.lab.any_node(COMPUTE), trial.lab.any_node(UPSTREAM)
    times = [_ping(compute, address.split("/")[0], inside) for address in UPSTREAM_ADDRESSES]
    for address in (FLOATING_ADDRESS, INSTANCE_ADDRESSES[1].split("/")[0]):
        times.append(_ping(upstream, address))
    milliseconds = ", ".join(f"{each:.2f}" for each in times)
    return f"out by IPv4, IPv6, in by IPv4, IPv6: {milliseconds} ms"


def _listeners(lab: Lab) -> set[tuple[str, int]]:
    """(node, project): who must hear adverts of others: is not MASTER of all of the project."""
    return {
        (name, router.project)
        for router, master in zip(lab.routers, masters(lab).values(), strict=True)
        for name in lab.names
        if name != master
    }


def _ping(node: Node, address: str, inside: list[str] | None = None) -> float:
    """The round trip in milliseconds; LabError without a reply."""
    said = node.exec([*(inside or []), "ping", "-n", "-c", "3", "-i", "0.2", "-W", "1", address])
    return float(said.rpartition("= ")[2].split("/")[1])
