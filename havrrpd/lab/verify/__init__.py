"""`havrrpd lab verify`: the whole architecture, step by step, a result and a figure for each."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from havrrpd.lab.lab import Lab, Say
from havrrpd.lab.steady import wait_steady
from havrrpd.lab.verify import outages, standing
from havrrpd.lab.verify.trial import Trial
from havrrpd.lab.waiting import LabError

# In this order: what one breaks is mended by it, or by the next.
STEPS: tuple[tuple[str, Callable[[Trial], str]], ...] = (
    ("keepalived and havrrpd run on every network node", standing.agents_alive),
    ("each project has a hidden HA network of its own", standing.hidden_networks),
    ("the same routers on every network node", standing.routers_everywhere),
    ("addresses on the MASTER only", standing.addresses_on_masters_only),
    ("the instance reaches and is reached", standing.instance_reached),
    ("the overlay of the MASTER's node is lost", outages.overlay_lost),
    ("the overlay comes back", outages.overlay_back),
    ("havrrpd killed everywhere, stopped on the MASTER's node", outages.havrrpd_killed),
    ("gateways lost: of the MASTER, of all, and back", outages.gateways_lost),
    ("the MASTER's node dies", outages.node_dies),
    ("no address on two nodes in all that", outages.no_address_twice),
)


@dataclass(frozen=True, slots=True)
class Result:
    """`figure`: what was measured, or why the step does not hold."""

    number: int
    what: str
    holds: bool
    figure: str
    seconds: float

    def as_json(self) -> dict[str, Any]:
        return {
            "step": self.number,
            "what": self.what,
            "holds": self.holds,
            "figure": self.figure,
            "seconds": round(self.seconds, 1),
        }

    def __str__(self) -> str:
        return f"{'ok' if self.holds else 'FAILED':6}  {self.number:2}  {self.what}: {self.figure}"


def verify(lab: Lab, say: Say) -> list[Result]:
    """Every step; `say` gets a line as soon as one is done. LabError if it can't begin."""
    if not lab.plan.lever:
        raise LabError("nothing moves when a gateway is lost: this lab was built with --neutron")
    if len(lab.names) < 2:
        raise LabError("a verification needs two network nodes, for one to take over")
    wait_steady(lab)
    results = []
    with Trial(lab, say) as trial:
        for number, (what, step) in enumerate(STEPS, start=1):
            began = time.monotonic()
            trial.begins(number)
            holds, figure = _tried(step, trial)
            results.append(Result(number, what, holds, figure, time.monotonic() - began))
            say(str(results[-1]))
    return results


def _tried(step: Callable[[Trial], str], trial: Trial) -> tuple[bool, str]:
    """Whether it holds, and its figure; what it left broken is mended for the next one."""
    try:
        return True, step(trial)
    except (LabError, OSError) as error:
        why = str(error)
    try:
        trial.mend()
    except (LabError, OSError) as error:
        why += f"; and it can't be mended: {error}"
    return False, why
