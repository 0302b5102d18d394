"""What havrrpd finds wrong with a router now, and what it can't judge for want of something."""

from __future__ import annotations

from collections.abc import Iterator

from havrrpd.core.model import Problem
from havrrpd.doctor.facts import Facts, Json
from havrrpd.doctor.findings import Finding, Kind, Level, router
from havrrpd.doctor.rules.lever import STANZA

PROBLEMS = {
    Problem.ADDRESSES_ORPHANED: (
        "Virtual addresses are there, and no living keepalived owns them.",
        "start its keepalived: it clears them",
    ),
    Problem.ADDRESSES_MISSING: (
        "MASTER, and some of its virtual addresses are not there.",
        "reload its keepalived; `havrrpd status -o json` names the addresses",
    ),
    Problem.ADVERTS_STOPPED: (
        "keepalived lives, holds the role and sends nothing: it hangs.",
        "restart its keepalived",
    ),
    Problem.DUPLICATE_MASTER: (
        "MASTER here, and another node is MASTER too.",
        "check the network between the nodes, and that version, advert_int, addresses and "
        "authentication are equal on both",
    ),
    Problem.NO_MASTER_HEARD: (
        "BACKUP, and no MASTER is heard.",
        "check the network that carries VRRP, and the other nodes",
    ),
    Problem.WITNESSES_DISAGREE: (
        "The witnesses (process, kernel, notification, wire) differ for longer than a transition.",
        "see witnesses in `havrrpd status -o json`, the addresses in the namespace and "
        "keepalived's log",
    ),
    Problem.GATEWAY_UNREACHABLE: (
        "MASTER, and its gateways do not answer.",
        "check the uplink of this node; if it is so on every node, the gateway",
    ),
    Problem.KEEPALIVED_DOWN: (
        "The router's keepalived does not run.",
        "start it",
    ),
    Problem.LEVER_MISSING: (
        "The router should move, and the lever is missing, not writable, or keepalived does not "
        "follow it.",
        STANZA,
    ),
}
_OF_PROBLEM: dict[str, Kind] = {
    problem: Kind(str(problem), Level.FAIL, when, mend)
    for problem, (when, mend) in PROBLEMS.items()
}
FAULT = Kind(
    "fault",
    Level.FAIL,
    "The router is in FAULT, and not because havrrpd moves it.",
    "see keepalived's log: an interface that is down, a check script or a track file",
)
UPLINK_DOWN = Kind(
    "uplink_down",
    Level.FAIL,
    "An interface that `uplinks` names is down: until it is up, keepalived is held in FAULT.",
    "mend the link",
)
NO_GATEWAY = Kind(
    "no_gateway",
    Level.WARN,
    "The router is MASTER and its gateways are to be checked, and it has none: neither gateways in "
    "the configuration, nor next hops in virtual_routes, nor a default route.",
    'name them: gateways = ["..."] in a [[router]] table, then systemctl reload havrrpd; or set '
    "interval = 0 for this router",
)
CHECK_SCRIPT = Kind(
    "check_script_beside",
    Level.WARN,
    "A check script and havrrpd both judge this router. The script puts it in FAULT by itself, and "
    "then it has no turn.",
    "remove the script (Neutron: ha_vrrp_health_check_interval = 0), or set interval = 0 in "
    "[health_check]",
)

KINDS = (*_OF_PROBLEM.values(), FAULT, UPLINK_DOWN, NO_GATEWAY, CHECK_SCRIPT)


def findings(facts: Facts) -> Iterator[Finding]:
    for shown in facts.routers:
        yield from _of_router(facts, shown)
    for process in facts.keepalived:
        check = facts.config.settings_for(process.router, process.namespace).health_check
        scripts = {name for i in process.config.instances for name in i.track_scripts}
        if scripts and check.interval > 0:
            text = f"it also follows the script {', '.join(sorted(scripts))}"
            yield CHECK_SCRIPT.at(router(process.router), text)


def _of_router(facts: Facts, shown: Json) -> Iterator[Finding]:
    where = router(shown["router"])
    for name in shown["problems"]:
        if name in _OF_PROBLEM:  # a daemon of before the upgrade can have others
            yield _OF_PROBLEM[name].at(where, _what(name, shown))
    for uplink in shown["election"]["uplinks_down"]:
        yield UPLINK_DOWN.at(where, f"its uplink {uplink} is down")
    if shown["state"] == "FAULT" and shown["election"]["phase"] != "resigning":
        yield FAULT.at(where, "it is in FAULT")
    if _lacks_gateways(facts, shown):
        yield NO_GATEWAY.at(where, "it is MASTER, and no gateway of it is known")


def _lacks_gateways(facts: Facts, shown: Json) -> bool:
    """A MASTER that sends no adverts probes nothing, and knows no gateways for it."""
    check = facts.config.settings_for(shown["router"], shown["namespace"]).health_check
    probes = shown["state"] == "MASTER" and Problem.ADVERTS_STOPPED not in shown["problems"]
    return probes and check.interval > 0 and not shown["gateways"]


def _what(name: str, shown: Json) -> str:
    when, _ = PROBLEMS[Problem(name)]
    text = when.removesuffix(".")
    lost = [each["address"] for each in shown["gateways"] if each["verdict"] == "lost"]
    if name == Problem.GATEWAY_UNREACHABLE and lost:
        return f"{text}: {', '.join(lost)}"
    return text
