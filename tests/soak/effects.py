"""What each fault adds to the counters: on the node that it hits, and on the other one.

With two nodes every election has one candidate, so it is known who becomes MASTER.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Effect = Mapping[str, int]
Effects = Sequence[tuple[Effect, Effect]]  # any of them: (here, there)

_TAKEN: Effect = {"MASTER because of peer_silent": 1}
_GIVEN: Effect = {"MASTER because of peer_resigned": 1}
_DIED: Effect = {"STOPPED because of keepalived_died": 1, "BACKUP because of started": 1}
_ENDED: Effect = {"STOPPED because of keepalived_stopped": 1, "BACKUP because of started": 1}
_LINK_LOST: Effect = {"FAULT because of link_down": 1}
_LINK: Effect = {**_LINK_LOST, "BACKUP because of link_down": 1}
_FLUSHED: Effect = {
    "FAULT because of address_removed": 1,
    "BACKUP because of address_removed": 1,
}
_FLUSHED_UNHEARD: Effect = {**_FLUSHED, "BACKUP because of address_removed": 2}
# Of a keepalived that has said nothing since its FIFO was opened: the addresses go first.
_ENDED_UNHEARD: Effect = {**_ENDED, "BACKUP because of address_removed": 1}
_NONE: Effect = {}
# Where keepalived said nothing yet, the kernel alone decides, and can be heard before the advert.
_CONTEST: Effects = tuple(
    effect
    for lost in ("BACKUP because of preempted", "BACKUP because of address_removed")
    for effect in (({lost: 1}, _TAKEN), (_NONE, {**_TAKEN, lost: 1}))
)

EFFECTS: Mapping[str, Effects] = {
    "child_killed": [(_DIED, _TAKEN)],
    "main_killed": [(_ENDED, _GIVEN), (_ENDED_UNHEARD, _GIVEN)],
    "both_killed": [(_DIED, _TAKEN)],
    "main_stopped": [(_NONE, _NONE)],
    "child_stopped": _CONTEST,
    "both_stopped": _CONTEST,
    "stopped": [(_ENDED, _GIVEN), (_ENDED_UNHEARD, _GIVEN)],
    "reloaded": [(_NONE, _NONE)],
    "reloaded_renamed": [(_NONE, _NONE)],
    "addresses_flushed": [(_FLUSHED, _GIVEN), (_FLUSHED_UNHEARD, _GIVEN)],
    "excluded_deleted": [(_NONE, _NONE)],
    "link_down": [(_LINK, _TAKEN)],
    "link_deleted": [({**_LINK, **_ENDED}, _TAKEN), ({**_LINK_LOST, **_ENDED}, _TAKEN)],
    "namespace_unnamed": [(_NONE, _NONE)],
    "namespace_deleted": [(_NONE, _TAKEN)],
    "cut": _CONTEST,
    "fifo_remade": [(_NONE, _NONE)],
    "fifo_removed": [(_ENDED, _GIVEN), (_ENDED_UNHEARD, _GIVEN)],
    "fifo_replaced": [(_NONE, _NONE)],
}

# These concern the whole node: nothing else is done meanwhile.
ALONE: Mapping[str, Effects] = {
    "proc_vanishes": [(_NONE, _NONE)],
    "descriptors_used_up": [(_ENDED, _GIVEN), (_ENDED_UNHEARD, _GIVEN)],
    "havrrpd_killed": [(_NONE, _NONE)],
}

# havrrpd of the node is another one afterwards, and counts anew.
RESTARTING = frozenset({"havrrpd_killed"})

# /status can't be asked where it hits: the counters tell afterwards what was seen.
UNANSWERED = frozenset({"descriptors_used_up"})

# The router is another one afterwards on the node that is hit, and is counted anew.
FORGETTING = frozenset({"reloaded_renamed", "namespace_deleted"})
