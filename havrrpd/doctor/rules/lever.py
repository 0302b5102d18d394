"""The lever: can havrrpd move the router through its track file?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from havrrpd.core.lever import OWNER, our_track_files
from havrrpd.core.model import InstanceConfig, TrackFile
from havrrpd.doctor.facts import Facts, FileId, Is, Keepalived, Lever
from havrrpd.doctor.findings import Finding, Kind, Level, router

STANZA = "add what `havrrpd keepalived stanza ROUTER` prints, and reload keepalived"

NO_LEVER = Kind(
    "no_lever",
    Level.WARN,
    "The loaded configuration has no track file of ours: havrrpd can't move the router.",
    STANZA,
)
NOT_USED = Kind(
    "lever_not_used",
    Level.FAIL,
    "There is a track file of ours, and an instance does not follow it.",
    "name it in the track_file block of each vrrp_instance (of the vrrp_sync_group, if it is in "
    "one), and reload keepalived",
)
WEIGHT = Kind(
    "lever_weight",
    Level.FAIL,
    "An instance follows our track file with another weight than 1: a standing would be FAULT, or "
    "another priority than was meant.",
    "write weight 1 in the track_file block and none in the instance, and reload keepalived",
)
GROUP = Kind(
    "lever_in_sync_group",
    Level.FAIL,
    "An instance in a sync group follows our track file, and the group does not track by weight: "
    "keepalived takes the weight for 0, and any standing is FAULT.",
    "put the track_file block into the vrrp_sync_group, with sync_group_tracking_weight (see "
    "`havrrpd keepalived stanza ROUTER`), and reload keepalived",
)
SEVERAL = Kind(
    "lever_several_files",
    Level.FAIL,
    "The instances of one router follow different track files of ours.",
    "use one for all of them, and reload keepalived",
)
SHARED = Kind(
    "lever_of_two_routers",
    Level.FAIL,
    "Two routers follow one track file: whatever moves one of them moves both.",
    "give each router a file of its own (see `havrrpd keepalived stanza ROUTER`), and reload them",
)
DIRECTORY = Kind(
    "lever_directory_missing",
    Level.FAIL,
    "The directory of the track file is not there: keepalived has dropped the file.",
    "make the directory (systemd-tmpfiles --create), then reload keepalived (SIGHUP)",
)
NOT_WATCHED = Kind(
    "lever_not_watched",
    Level.FAIL,
    "The directory of the track file was made, or made again, after keepalived had started: "
    "keepalived watches another one, or none.",
    "reload keepalived (SIGHUP), and let nothing remove that directory",
)
NOT_A_FILE = Kind(
    "lever_not_a_file",
    Level.FAIL,
    "What is at the path of the track file is no regular file.",
    "remove it, then systemctl restart havrrpd (no router moves): it writes the file",
)
FILE_MISSING = Kind(
    "lever_file_missing",
    Level.WARN,
    "The track file is not there: keepalived takes it for 0, also where a standing was meant.",
    "systemctl restart havrrpd (no router moves): it writes the file",
)
NO_INIT_FILE = Kind(
    "lever_without_init_file",
    Level.WARN,
    "The track_file block has no init_file: until havrrpd has written the file, there is none.",
    "add init_file 0, and reload keepalived",
)
INITIAL = Kind(
    "lever_initial_value",
    Level.WARN,
    "init_file makes the track file with another value than 0: a new node begins behind the "
    "others, or in FAULT.",
    "write init_file 0, and reload keepalived",
)
OVERWRITTEN = Kind(
    "lever_overwritten",
    Level.WARN,
    "init_file has the word overwrite: each start of keepalived forgets a drain and a turn, until "
    "havrrpd has written the file again.",
    "write init_file 0 without overwrite, and reload keepalived",
)

KINDS = (
    *(NO_LEVER, NOT_USED, WEIGHT, GROUP, SEVERAL, SHARED, DIRECTORY, NOT_WATCHED, NOT_A_FILE),
    *(FILE_MISSING, NO_INIT_FILE, INITIAL, OVERWRITTEN),
)


def findings(facts: Facts) -> Iterator[Finding]:
    for process in facts.keepalived:
        ours = our_track_files(process.router, process.config, facts.config.paths.lever_dir)
        if ours:
            yield from _as_configured(process, ours)
        elif not facts.config.election.observe_only:
            yield NO_LEVER.at(router(process.router), "its keepalived has no track file of ours")
        for lever in process.levers:
            yield from _as_it_is(process, lever)
    yield from _shared(facts)


def _as_configured(process: Keepalived, ours: dict[str, TrackFile]) -> Iterator[Finding]:
    followed = set()
    for instance in process.config.instances:
        names = [name for name, _ in instance.track_files if name in ours]
        followed |= {ours[name].path for name in names}
        yield from _of_instance(process, instance, ours)
    where = router(process.router)
    if len(followed) > 1:
        yield SEVERAL.at(where, f"its instances follow {' and '.join(sorted(followed))}")
    for file in ours.values():
        if file.path not in followed:
            continue
        if file.initial is None:
            yield NO_INIT_FILE.at(where, f"{file.path} has no init_file")
        elif file.initial != 0:
            yield INITIAL.at(where, f"{file.path} is made with {file.initial}")
        if file.overwrite:
            yield OVERWRITTEN.at(where, f"{file.path} is overwritten by each start")


def _of_instance(
    process: Keepalived, instance: InstanceConfig, ours: dict[str, TrackFile]
) -> Iterator[Finding]:
    where = router(process.router, instance.name)
    given = [(ours[name], weight) for name, weight in instance.track_files if name in ours]
    if not given:
        yield NOT_USED.at(where, f"it does not follow {', '.join(sorted(ours))}")
        return
    weights = {file.weight if weight is None else weight for file, weight in given}
    if weights == {1} or instance.priority == OWNER:
        return
    if instance.sync_group is not None and 0 in weights:
        text = f"the weight counts as 0 in sync group {instance.sync_group}"
        yield GROUP.at(where, text)
    else:
        listed = ", ".join(str(weight) for weight in sorted(weights))
        yield WEIGHT.at(where, f"it follows {given[0][0].path} with weight {listed}")


def _as_it_is(process: Keepalived, lever: Lever) -> Iterator[Finding]:
    where = router(process.router)
    if lever.directory is None:
        yield DIRECTORY.at(where, f"there is no directory for {lever.path}")
        return
    if process.watches_files and lever.watched is False:
        yield NOT_WATCHED.at(where, f"its keepalived does not watch the directory of {lever.path}")
    if lever.holds is Is.MISSING:
        yield FILE_MISSING.at(where, f"{lever.path} is missing")
    elif lever.holds is not Is.FILE:
        yield NOT_A_FILE.at(where, f"{lever.path} is a {lever.holds}")


def _shared(facts: Facts) -> Iterator[Finding]:
    users: dict[tuple[FileId, str], list[str]] = defaultdict(list)
    for process in facts.keepalived:
        for lever in process.levers:
            if lever.directory is not None:
                name = lever.path.rpartition("/")[2]
                users[lever.directory, name].append(process.router)
    for (_, name), routers in users.items():
        if len(routers) > 1:
            text = f"its track file {name} is also that of {', '.join(routers[1:])}"
            yield SHARED.at(router(routers[0]), text)
