"""What is heard on the wire: do all nodes of a router speak alike, and is one of them MASTER?"""

from __future__ import annotations

from collections.abc import Iterator

from havrrpd.core.node import Oddity
from havrrpd.doctor.facts import Facts, Json
from havrrpd.doctor.findings import Finding, Kind, Level, router

TWO_MASTERS = Kind(
    "two_masters_heard",
    Level.FAIL,
    "This node is BACKUP, and hears two others as MASTER at the same time.",
    "look at both nodes: their network, advert_int, addresses and authentication; `havrrpd status` "
    "on each says what it hears",
)
ADVERT_INT = Kind(
    "advert_int_differs",
    Level.FAIL,
    "A node sends another advert_int than ours. In version 2 each drops the other's adverts, and "
    "both become MASTER.",
    "set the same advert_int on every node, and reload keepalived",
)
ADDRESSES = Kind(
    "addresses_differ",
    Level.FAIL,
    "A node sends our VRID with other virtual addresses: another router uses that VRID on this "
    "network, or the nodes are not configured alike.",
    "if it is one of the router's own nodes, make virtual_ipaddress equal; else give one of the "
    "two routers another virtual_router_id, on all its nodes",
)
AUTHENTICATION = Kind(
    "authentication_differs",
    Level.FAIL,
    "A node sends another authentication (auth_type, or auth_pass) than ours: each drops the "
    "other's adverts, and both become MASTER.",
    "write the same authentication block on every node, or none, and reload keepalived",
)
VERSION = Kind(
    "vrrp_version_differs",
    Level.FAIL,
    "A node sends our VRID in another version of VRRP: each drops the other's adverts, and both "
    "become MASTER.",
    "set the same vrrp_version (or version in the instance) on every node, and restart keepalived",
)
SUSPICIOUS = Kind(
    "adverts_refused",
    Level.WARN,
    "Adverts with our VRID come with a wrong checksum, or through a router (hop limit below 255): "
    "keepalived drops them. They are damaged on the way, or forged.",
    "find the sender: `tcpdump -ni INTERFACE proto 112` in the router's namespace",
)

KINDS = (TWO_MASTERS, ADVERT_INT, ADDRESSES, AUTHENTICATION, VERSION, SUSPICIOUS)

LATELY = 60.0  # seconds: of two masters one may send an advert now and then only
_SAID = {
    Oddity.ADVERT_INT: (ADVERT_INT, "another advert_int than ours"),
    Oddity.VIRTUAL_ADDRESSES: (ADDRESSES, "other virtual addresses than ours"),
    Oddity.AUTHENTICATION: (AUTHENTICATION, "another authentication than ours"),
    Oddity.VERSION: (VERSION, "another version of VRRP than ours"),
    Oddity.HOP_LIMIT: (SUSPICIOUS, "adverts with a hop limit below 255"),
    Oddity.CHECKSUM: (SUSPICIOUS, "adverts with a wrong checksum"),
}


def findings(facts: Facts) -> Iterator[Finding]:
    for shown, instance in facts.instances():
        heard = [m for m in instance["masters_heard"] if _is_master(m, instance)]
        if instance["state"] == "BACKUP" and len(heard) > 1:
            listed = " and ".join(f"{m['address']} (priority {m['priority']})" for m in heard)
            where = router(shown["router"], instance["vrrp_instance"])
            yield TWO_MASTERS.at(where, f"it hears {listed} as MASTER")
    for shown in facts.routers:
        for advert in shown.get("odd_adverts", ()):  # a daemon of before the upgrade has none
            if advert["last_heard_seconds"] <= LATELY:
                yield from _odd(shown, advert)


def _is_master(heard: Json, instance: Json) -> bool:
    """Still: as the protocol has it, after three intervals without an advert it is none."""
    return float(heard["last_heard_seconds"]) <= 3 * float(instance["advert_int"])


def _odd(shown: Json, advert: Json) -> Iterator[Finding]:
    on = [i for i in shown["instances"] if i["interface"] == advert["interface"]]
    name = on[0]["vrrp_instance"] if len(on) == 1 else None
    for word in advert["oddities"]:
        kind, said = _SAID[Oddity(word)]
        text = f"{advert['source']} sends {said} on {advert['interface']}"
        yield kind.at(router(shown["router"], name), text)
