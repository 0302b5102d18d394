"""The node's own part: directories, uplinks, a drain, what is switched off."""

from __future__ import annotations

from collections.abc import Iterator

from havrrpd.core.model import HealthCheck
from havrrpd.doctor.facts import Facts
from havrrpd.doctor.findings import NODE, Finding, Kind, Level, router

NO_KEEPALIVED = Kind(
    "keepalived_missing",
    Level.FAIL,
    "No keepalived runs VRRP here, and none is installed.",
    "apt install keepalived",
)
NO_ROUTERS = Kind(
    "no_routers",
    Level.WARN,
    "No keepalived runs VRRP on this node.",
    "start it; a node that is to have no routers needs no havrrpd",
)
UNPROTECTED = Kind(
    "router_unprotected",
    Level.WARN,
    "A namespace qrouter- or snat- has no keepalived: nobody takes that router over.",
    "start its keepalived; with Neutron recreate the router with HA, or restart the L3 agent",
)
DIRECTORY = Kind(
    "directory_missing",
    Level.FAIL,
    "The directory of the FIFOs or of the track files is not there.",
    "systemd-tmpfiles --create, then reload each keepalived (SIGHUP): it has dropped a track file "
    "whose directory was missing",
)
NOT_AT_BOOT = Kind(
    "directory_not_made_at_boot",
    Level.WARN,
    "The directory of the FIFOs or of the track files goes with a reboot, and nothing makes it "
    "again before keepalived starts.",
    "install systemd/tmpfiles.d/havrrpd.conf to /etc/tmpfiles.d, with a line for this directory",
)
UPLINK_MISSING = Kind(
    "uplink_missing",
    Level.FAIL,
    "`uplinks` names an interface that the node does not have: its routers are held in FAULT.",
    "correct uplinks in the configuration, then systemctl reload havrrpd",
)
NO_UPLINKS = Kind(
    "no_uplinks",
    Level.NOTE,
    "Routers live in namespaces, and no `uplinks` are named: a node whose cable is pulled becomes "
    "a second MASTER, as keepalived can't see that cable.",
    "name the interfaces that carry the routers' networks in uplinks of [health_check]",
)
GATEWAYS_UNCHECKED = Kind(
    "gateways_unchecked",
    Level.NOTE,
    "No router's gateways are checked: a MASTER that loses them stays MASTER.",
    "set interval = 1.0 in [health_check]",
)
OBSERVE_ONLY = Kind(
    "observe_only",
    Level.WARN,
    "observe_only is set, and there are levers: no router is ever moved.",
    "remove observe_only from [election], then systemctl reload havrrpd",
)
DRAINED = Kind(
    "drained",
    Level.NOTE,
    "The node is drained: it takes no router unless it is the last one.",
    "havrrpd undrain, when the work on this node is done",
)
DRAINED_LONG = Kind(
    "drained_long",
    Level.WARN,
    "The node is drained for longer than a day: did somebody forget it? The others have one node "
    "less to move to.",
    "havrrpd undrain",
)

KINDS = (
    *(NO_KEEPALIVED, NO_ROUTERS, UNPROTECTED, DIRECTORY, NOT_AT_BOOT, UPLINK_MISSING, NO_UPLINKS),
    *(GATEWAYS_UNCHECKED, OBSERVE_ONLY, DRAINED, DRAINED_LONG),
)

DAY = 86400.0


def findings(facts: Facts) -> Iterator[Finding]:
    yield from _presence(facts)
    yield from _directories(facts)
    yield from _uplinks(facts)
    yield from _switched_off(facts)
    yield from _drain(facts)


def _presence(facts: Facts) -> Iterator[Finding]:
    if facts.daemon.status is not None:
        for each in facts.daemon.status["unprotected"]:
            text = f"no keepalived runs in {each['namespace']}"
            yield UNPROTECTED.at(router(each["router"]), text)
    looked = facts.as_root or facts.daemon.status is not None
    if facts.keepalived or facts.routers or not looked:
        return
    if facts.installed:
        yield NO_ROUTERS.at(NODE, "no keepalived was found")
    else:
        yield NO_KEEPALIVED.at(NODE, "keepalived is not installed")


def _directories(facts: Facts) -> Iterator[Finding]:
    for directory in facts.directories:
        if not directory.there:
            yield DIRECTORY.at(NODE, f"{directory.path} is missing")
        if not directory.at_boot:
            yield NOT_AT_BOOT.at(NODE, f"nothing makes {directory.path} at boot")


def _checks(facts: Facts) -> list[HealthCheck]:
    """How each router that is known is checked; without any, what the configuration says of all."""
    names = {(each.router, each.namespace) for each in facts.keepalived}
    names |= {(each["router"], each["namespace"]) for each in facts.routers}
    if not names:
        return [facts.config.health_check]
    return [facts.config.settings_for(*name).health_check for name in sorted(names, key=str)]


def _uplinks(facts: Facts) -> Iterator[Finding]:
    checks = _checks(facts)
    named = sorted({uplink for check in checks for uplink in check.uplinks})
    interfaces = facts.kernel.interfaces
    if interfaces is not None and facts.daemon.sees_our_network is not False:
        for uplink in named:
            if uplink not in interfaces:
                yield UPLINK_MISSING.at(NODE, f"there is no interface {uplink}")
    if not named and any(each.namespace for each in facts.keepalived):
        yield NO_UPLINKS.at(NODE, "no uplinks are named")


def _switched_off(facts: Facts) -> Iterator[Finding]:
    if facts.keepalived and all(check.interval == 0 for check in _checks(facts)):
        yield GATEWAYS_UNCHECKED.at(NODE, "gateways are not checked")
    levers = [each for each in facts.keepalived if each.levers]
    if facts.config.election.observe_only and levers:
        yield OBSERVE_ONLY.at(NODE, f"observe_only is set, and {_routers(len(levers))} a lever")


def _drain(facts: Facts) -> Iterator[Finding]:
    if facts.drained_for is None:
        return
    if facts.drained_for > DAY:
        yield DRAINED_LONG.at(NODE, f"drained for {facts.drained_for / DAY:.0f} days")
    else:
        yield DRAINED.at(NODE, f"drained for {facts.drained_for / 60:.0f} minutes")


def _routers(count: int) -> str:
    return "a router has" if count == 1 else f"{count} routers have"
