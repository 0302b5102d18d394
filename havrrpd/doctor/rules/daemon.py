"""havrrpd itself: does it run, answer, see everything, and has it what it needs?"""

from __future__ import annotations

from collections.abc import Iterator

from havrrpd import capabilities
from havrrpd.doctor.facts import Facts
from havrrpd.doctor.findings import NODE, Finding, Kind, Level, router

CONFIG_REFUSED = Kind(
    "config_refused",
    Level.FAIL,
    "The configuration file has a mistake. Everything else is judged with the defaults.",
    "correct it until `havrrpd config check FILE` is silent; a daemon that runs goes on with the "
    "old one, and one that is started does not start",
)
NOT_ROOT = Kind(
    "not_root",
    Level.UNKNOWN,
    "The doctor does not run as root: the processes of keepalived can't be looked at.",
    "run havrrpd doctor as root",
)
DOWN = Kind(
    "daemon_down",
    Level.FAIL,
    "No havrrpd runs on this node. What needs it (state, gateways, the wire) is not judged.",
    "systemctl start havrrpd; journalctl -u havrrpd says why it ended",
)
UNREACHABLE = Kind(
    "socket_unreachable",
    Level.FAIL,
    "A havrrpd runs and does not answer on the Unix socket.",
    "compare the socket with paths.socket in its configuration; if it is the same, it hangs: "
    "systemctl restart havrrpd (no router moves)",
)
DENIED = Kind(
    "socket_denied",
    Level.UNKNOWN,
    "The Unix socket is there, and may not be used: its mode is 0660.",
    "run havrrpd doctor as root, or as a member of the socket's group",
)
NOT_READY = Kind(
    "daemon_not_ready",
    Level.WARN,
    "havrrpd answers, and has not listed everything yet.",
    "ask again in some seconds; if it stays so, journalctl -u havrrpd",
)
OUTDATED = Kind(
    "daemon_outdated",
    Level.WARN,
    "The havrrpd that runs is another version than the one that is installed.",
    "systemctl restart havrrpd (no router moves)",
)
CAPABILITIES = Kind(
    "capabilities_missing",
    Level.FAIL,
    "havrrpd runs without a capability that it needs.",
    "add it to CapabilityBoundingSet= of havrrpd.service, and restart havrrpd",
)
DESCRIPTORS = Kind(
    "descriptors_low",
    Level.WARN,
    "havrrpd has opened more than four fifths of the files that it may open.",
    "raise LimitNOFILE= of havrrpd.service to twice as much, and restart havrrpd",
)
NOT_SEEN = Kind(
    "keepalived_not_seen",
    Level.FAIL,
    "A keepalived runs VRRP for ten seconds or longer, and havrrpd does not list it.",
    "journalctl -u havrrpd says why (process.not_trusted, config.not_read); in a container "
    "havrrpd needs the host's processes (--pid host)",
)
HIDDEN = Kind(
    "namespace_hidden",
    Level.FAIL,
    "A router's namespace has a name that havrrpd does not see: its mounts are cut off.",
    "give the service MountFlags=slave (a container: bind-propagation=rslave on /run), and "
    "restart havrrpd",
)

KINDS = (
    *(CONFIG_REFUSED, NOT_ROOT, DOWN, UNREACHABLE, DENIED, NOT_READY, OUTDATED),
    *(CAPABILITIES, DESCRIPTORS, NOT_SEEN, HIDDEN),
)

KNOWN_AFTER = 10.0  # seconds: discovery needs 2 at most, and the process may be starting
_ENOUGH = 0.8


def findings(facts: Facts) -> Iterator[Finding]:
    for problem in facts.config_problems:
        yield CONFIG_REFUSED.at(NODE, problem)
    if not facts.as_root:
        yield NOT_ROOT.at(NODE, "not everything could be looked at")
    yield from _silence(facts)
    yield from _state(facts)
    yield from _means(facts)
    if facts.daemon.status is not None:
        yield from _unseen(facts)


def _silence(facts: Facts) -> Iterator[Finding]:
    daemon = facts.daemon
    if daemon.status is not None:
        return
    error = daemon.error or "no answer"
    if daemon.denied:
        yield DENIED.at(NODE, error)
    elif daemon.running:
        yield UNREACHABLE.at(NODE, f"{error}; process {daemon.running[0]} looks like it")
    else:
        yield DOWN.at(NODE, error)


def _state(facts: Facts) -> Iterator[Finding]:
    status = facts.daemon.status
    if status is None:
        return
    if not status["ready"]:
        yield NOT_READY.at(NODE, "havrrpd answers, and is not ready yet")
    if facts.version and status["version"] != facts.version:
        text = f"havrrpd {status['version']} runs, {facts.version} is installed"
        yield OUTDATED.at(NODE, text)


def _means(facts: Facts) -> Iterator[Finding]:
    daemon = facts.daemon
    lacking = {} if daemon.capabilities is None else capabilities.missing(daemon.capabilities)
    for name, purpose in lacking.items():
        yield CAPABILITIES.at(NODE, f"{name} is missing, needed for {purpose}")
    if daemon.descriptors is not None:
        opened, limit = daemon.descriptors
        if opened > _ENOUGH * limit:
            yield DESCRIPTORS.at(NODE, f"{opened} of {limit} file descriptors are open")


def _unseen(facts: Facts) -> Iterator[Finding]:
    listed = {each["pid"]: each["namespace"] for each in facts.routers}
    for process in facts.keepalived:
        where = router(process.router)
        if process.pid not in listed:
            if process.age > KNOWN_AFTER:
                yield NOT_SEEN.at(where, f"havrrpd does not list its keepalived ({process.pid})")
            continue
        shown, named = listed[process.pid], process.namespace
        if shown and named and shown.startswith("net:[") and not named.startswith("net:["):
            yield HIDDEN.at(where, f"its namespace is {named}, and havrrpd sees {shown}")
