"""Projects: each has a hidden HA network of its own, and the routers whose adverts it carries."""

from __future__ import annotations

from havrrpd.lab.router import ROUTERS, Router
from havrrpd.lab.waiting import LabError

LAST_VRID = 255  # RFC 9568 section 5.2.3: 1 to 255


class HiddenNetwork:
    """Gives out the VRIDs of one hidden HA network: no two routers on it share one."""

    def __init__(self, project: int) -> None:
        self.project = project
        self._next = 1

    def allocate(self) -> int:
        """The next free VRID; LabError when all are used."""
        if self._next > LAST_VRID:
            raise LabError(
                f"the hidden HA network of project {self.project} has no VRID left:"
                f" {LAST_VRID} routers use 1 to {LAST_VRID}"
            )
        self._next += 1
        return self._next - 1


def routers_of(count: int, projects: int) -> tuple[Router, ...]:
    """So many routers, dealt out to the projects in turn; the first one has the instance."""
    if not 1 <= count <= ROUTERS:
        raise LabError(
            f"a lab has 1 to {ROUTERS} routers, not {count}: the provider network is full"
        )
    networks = [HiddenNetwork(project) for project in range(1, projects + 1)]
    made = []
    for number in range(1, count + 1):
        network = networks[(number - 1) % projects]
        made.append(Router(number, network.project, network.allocate()))
    return tuple(made)
