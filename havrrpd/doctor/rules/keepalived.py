"""How keepalived was started, and where: its view of the files, its log, its links."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from havrrpd.doctor.facts import Facts, Keepalived
from havrrpd.doctor.findings import Finding, Kind, Level, router

PRIVATE_TMP = Kind(
    "private_tmp",
    Level.FAIL,
    "A FIFO or a track file lies under /tmp or /var/tmp, and the unit of keepalived or of havrrpd "
    "has PrivateTmp=yes: each sees a directory of its own there.",
    "use paths under /run/havrrpd in keepalived's configuration and in [paths]",
)
NOT_SHARED = Kind(
    "directory_not_shared",
    Level.FAIL,
    "keepalived and havrrpd see different directories at the path of a FIFO or a track file, as "
    "in a container without the host's /run.",
    "mount the host's directory there for both, and restart keepalived, on BACKUP nodes first",
)
REPLACED = Kind(
    "keepalived_replaced",
    Level.NOTE,
    "keepalived was upgraded, and the old one still runs.",
    "restart it when that suits, on BACKUP nodes first",
)
SERIAL_LOG = Kind(
    "log_on_serial_console",
    Level.WARN,
    "keepalived runs with -l, no syslog listens on /dev/log, and the console is a serial one: each "
    "transition halts a CPU for 60 to 80 ms, longer than the distance of two priorities.",
    "run a syslog (journald or another), or start keepalived without -l",
)
SAME_VRID = Kind(
    "same_vrid",
    Level.FAIL,
    "Two instances of this node have one VRID on one link: each takes the other for a peer, and "
    "one of them never becomes MASTER.",
    "give one of them another virtual_router_id, on all nodes",
)

KINDS = (PRIVATE_TMP, NOT_SHARED, REPLACED, SERIAL_LOG, SAME_VRID)

_TEMPORARY = ("/tmp/", "/var/tmp/")


def findings(facts: Facts) -> Iterator[Finding]:
    for process in facts.keepalived:
        where = router(process.router)
        yield from _views(process)
        if process.replaced:
            yield REPLACED.at(where, "the executable of its keepalived was replaced")
        if process.serial_log is not None:
            yield SERIAL_LOG.at(where, f"its keepalived logs to {process.serial_log}")
    yield from _same_vrid(facts)


def _views(process: Keepalived) -> Iterator[Finding]:
    where = router(process.router)
    places = [(lever.path, lever.shared) for lever in process.levers]
    if process.fifo is not None:
        places.append((process.fifo.path, process.fifo.shared))
    for path, shared in places:
        if shared is not False:
            continue
        if path.startswith(_TEMPORARY):
            whose = "keepalived" if process.private_tmp else "havrrpd"
            yield PRIVATE_TMP.at(where, f"{path} is in a /tmp that only {whose} sees")
        else:
            yield NOT_SHARED.at(where, f"{path} is another place for keepalived than for havrrpd")


def _same_vrid(facts: Facts) -> Iterator[Finding]:
    """Unicast instances hear only their peers, and each address family has VRIDs of its own."""
    using: dict[tuple[str, int, int], list[str]] = defaultdict(list)
    for process in facts.keepalived:
        for instance in process.config.instances:
            link = process.links.get(instance.interface)
            if link is None or instance.unicast_peers:
                continue
            advertised = (v.address.version for v in instance.virtual_addresses if not v.excluded)
            key = (link, next(advertised, 4), instance.vrid)
            using[key].append(router(process.router, instance.name))
    for (link, _, vrid), users in sorted(using.items()):
        if len(users) > 1:
            others = ", ".join(user.removeprefix("router ") for user in users[1:])
            yield SAME_VRID.at(users[0], f"its VRID {vrid} on {link} is also that of {others}")
