"""Why this node is or is not MASTER of a router, and what comes next, in sentences.

For an operator who was paged: first an uplink that is down, then the state and who is MASTER, what
is wrong, what the election waits for, the priority, and what nobody watches. Only what the record
holds is said.
"""

from __future__ import annotations

from havrrpd.core.explain import election, problems, role, uplinks
from havrrpd.core.model import Router


def explain(router: Router, now: float) -> tuple[str, ...]:
    """The sentences, the most important first; there is always one."""
    if not router.instances:
        nothing = f"{router.state}: no VRRP instance of this router is known here."
        return (*uplinks.sentences(router), nothing, *problems.sentences(router, now))
    return (
        *uplinks.sentences(router),
        *role.of_each_instance(router, now),
        *problems.sentences(router, now),
        *election.sentences(router, now),
        *role.chances_of_each_instance(router, now),
        *problems.unwatched(router),
    )
