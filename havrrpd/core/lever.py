"""The lever: which track file moves a router, what it holds, and what it should hold."""

from __future__ import annotations

from msgspec.structs import replace

from havrrpd.core.messages import (
    Action,
    Event,
    ReadStanding,
    StandingFailed,
    StandingRead,
    StandingWritten,
    WriteStanding,
)
from havrrpd.core.model import KeepalivedConfig, Phase, Router, TrackFile
from havrrpd.core.priority import RESIGNING, standing, tried_by

LEVER_NAME = "havrrpd"  # a track_file of this name is our lever, wherever it lies
OWNER = 255  # the priority of the node that owns the addresses, RFC 9568 section 5.2.4
REWRITE_DELAY = 1.0  # seconds after a write failed


def our_track_files(
    router_id: str, config: KeepalivedConfig, lever_dir: str
) -> dict[str, TrackFile]:
    """Those that are meant for us, by their names."""
    return {
        track_file.name: track_file
        for track_file in config.track_files
        if track_file.path == f"{lever_dir}/{router_id}" or track_file.name == LEVER_NAME
    }


def find_lever(router_id: str, config: KeepalivedConfig, lever_dir: str) -> str | None:
    """The path of the track file that moves this router, with weight 1 in every instance.

    A priority of 255 (the owner of the addresses) is never lowered: keepalived sets the weight to
    0, and then every standing but 0 is FAULT.
    """
    ours = our_track_files(router_id, config, lever_dir)
    found = set()
    for instance in config.instances:
        named = [(ours[name], weight) for name, weight in instance.track_files if name in ours]
        weights = {track_file.weight if w is None else w for track_file, w in named}
        if weights != {1} or instance.priority == OWNER:
            return None
        found |= {track_file.path for track_file, _ in named}
    return found.pop() if len(found) == 1 else None


def found(before: Router, router: Router) -> tuple[Router, list[Action]]:
    """The router with the lever of a new configuration or process, and the order to read it."""
    if before.config is not router.config or before.settings is not router.settings:
        lever = find_lever(router.id, router.config, router.settings.lever_dir)
        router = replace(router, lever=lever)
    restarted = router.pid is not None and router.pid != before.pid
    if router.lever == before.lever and not (restarted and router.lever):
        return router, []
    actions: list[Action] = []
    held_down = (router.election.ordered or 0) <= RESIGNING
    if before.lever and router.lever != before.lever and held_down:
        actions.append(WriteStanding(before.lever, 0))  # nobody will look at that file again
    if router.lever:
        actions.append(ReadStanding(router.lever))
    unread = replace(
        router.election, lever_read=False, ordered=None, written=None, rewrite_due=None
    )
    return replace(router, election=unread), actions


def heard(router: Router, event: Event, now: float) -> Router:
    """The router after what came of reading or writing its track file: also a witness of FAULT."""
    election = router.election
    match event:
        case StandingRead(path, value) if path == router.lever:
            election = replace(
                election, lever_read=True, ordered=value, written=value, written_at=now
            )
            waited = tried_by(router, value or 0)
            if waited is not None and not election.tried:
                election = replace(election, tried=True, waited=waited)
        case StandingWritten(path, value) if path == router.lever:
            election = replace(election, written=value, written_at=now, rewrite_due=None)
        case StandingFailed(path) if path == router.lever:
            election = replace(election, rewrite_due=now + REWRITE_DELAY)
        case _:
            return router
    return replace(router, election=election)


def with_standing(before: Router, router: Router, now: float) -> tuple[Router, list[Action]]:
    """Write what the track file should hold, once it was read and where it holds something else.

    `before`: ahead of the event. What the standing follows from seldom changes.
    """
    election = router.election
    unchanged = election is before.election and election.rewrite_due is None
    if unchanged and router.config is before.config and router.settings is before.settings:
        return router, []
    wanted = _wanted(router)
    if wanted != election.standing:
        election = replace(election, standing=wanted)
    again = election.rewrite_due is not None and now >= election.rewrite_due
    actions: list[Action] = []
    if router.lever and election.lever_read and (again or wanted != election.ordered):
        election = replace(election, ordered=wanted, rewrite_due=None)
        actions.append(WriteStanding(router.lever, wanted))
    if election is not router.election:
        router = replace(router, election=election)
    return router, actions


def _wanted(router: Router) -> int:
    election = router.election
    if router.lever is None:
        return 0
    if router.settings.observe_only:  # touch nothing, but leave no router in FAULT
        found = election.ordered or 0
        return found if found > RESIGNING else 0
    if election.phase is Phase.RESIGNING:
        return RESIGNING
    return standing(router, tried=election.tried, draining=election.draining)
