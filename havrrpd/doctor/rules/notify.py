"""The notify FIFO: does keepalived write to it, and havrrpd hear it?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from havrrpd.doctor.facts import Facts, Fifo, FileId, Is, Keepalived
from havrrpd.doctor.findings import Finding, Kind, Level, router
from havrrpd.doctor.rules.lever import STANZA

NO_FIFO = Kind(
    "no_fifo",
    Level.WARN,
    "The loaded configuration has no vrrp_notify_fifo: changes are known by the kernel's addresses "
    "only, and FAULT is not told from BACKUP.",
    f"{STANZA}; it opens the FIFO when it is restarted",
)
NO_USER = Kind(
    "fifo_user_missing",
    Level.WARN,
    "vrrp_notify_fifo has no user behind its path, and there is no user keepalived_script: "
    "keepalived 2.2.7 can stop writing after a reload.",
    "write root behind the path of vrrp_notify_fifo, and reload keepalived",
)
REFUSED = Kind(
    "fifo_refused",
    Level.WARN,
    "keepalived 2.4.0 and later does not use a FIFO that belongs neither to it nor to the user "
    "behind the path (https://github.com/acassen/keepalived/commit/5769d4a2).",
    "chown it to root, write root behind the path, and restart keepalived, on BACKUP nodes first",
)
DIRECTORY = Kind(
    "fifo_directory_missing",
    Level.WARN,
    "The directory of the FIFO is not there: keepalived has switched the FIFO off.",
    "make the directory (systemd-tmpfiles --create), restart havrrpd (it makes the FIFO), then "
    "keepalived, on BACKUP nodes first",
)
MISSING = Kind(
    "fifo_missing",
    Level.WARN,
    "Nothing is at the path of the FIFO.",
    "mkfifo -m 0600 at that path, then restart keepalived, on BACKUP nodes first",
)
NOT_A_FIFO = Kind(
    "fifo_is_none",
    Level.FAIL,
    "What is at the path is no FIFO: keepalived appends each line to a regular file for ever, and "
    "refuses a symbolic link.",
    "remove it, mkfifo -m 0600 at that path, then restart keepalived, on BACKUP nodes first",
)
NOT_OPEN = Kind(
    "fifo_not_open",
    Level.WARN,
    "keepalived does not have the FIFO open that is on the disk: it was made, or made again, after "
    "keepalived had opened its own.",
    "restart keepalived, on BACKUP nodes first; tmpfiles.d and havrrpd keep the FIFO from then on",
)
SHARED = Kind(
    "fifo_of_two_routers",
    Level.FAIL,
    "Two keepalived write to one FIFO: their lines can't be told apart, so none is believed.",
    "give each router a FIFO of its own (see `havrrpd keepalived stanza ROUTER`), and restart them",
)

KINDS = (NO_FIFO, NO_USER, REFUSED, DIRECTORY, MISSING, NOT_A_FIFO, NOT_OPEN, SHARED)

OWNED = (2, 4, 0)  # from this version on a foreign FIFO is refused
_ROOT = 0


def findings(facts: Facts) -> Iterator[Finding]:
    for process in facts.keepalived:
        if process.fifo is None:
            text = "its keepalived has no notify FIFO"
            yield NO_FIFO.at(router(process.router), text)
        else:
            yield from _of_fifo(process, process.fifo)
    yield from _shared(facts)


def _of_fifo(process: Keepalived, fifo: Fifo) -> Iterator[Finding]:
    where, path = router(process.router), fifo.path
    if process.config.notify_fifo_user is None and not process.script_user:
        yield NO_USER.at(where, f"no user is behind {path}")
    if not fifo.directory:
        yield DIRECTORY.at(where, f"there is no directory for {path}")
    elif fifo.holds is Is.MISSING:
        yield MISSING.at(where, f"{path} is missing")
    elif fifo.holds is not Is.FIFO:
        yield NOT_A_FIFO.at(where, f"{path} is a {fifo.holds}")
    elif _is_refused(process, fifo):
        yield REFUSED.at(where, f"{path} belongs to user {fifo.owner}")
    elif fifo.open is False:
        yield NOT_OPEN.at(where, f"its keepalived has not opened {path} as it is now")


def _is_refused(process: Keepalived, fifo: Fifo) -> bool:
    if process.version is None or process.version < OWNED or fifo.owner is None:
        return False
    return fifo.owner not in (_ROOT, fifo.user)


def _shared(facts: Facts) -> Iterator[Finding]:
    users: dict[FileId, list[str]] = defaultdict(list)
    for process in facts.keepalived:
        if process.fifo is not None and process.fifo.id is not None:
            users[process.fifo.id].append(process.router)
    for routers in users.values():
        if len(routers) > 1:
            text = f"its FIFO is also that of {', '.join(routers[1:])}"
            yield SHARED.at(router(routers[0]), text)
