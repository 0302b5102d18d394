"""What a lab is made of, in words that fit on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import havrrpd
from havrrpd.lab.keepalived import Vrrp
from havrrpd.lab.network import Network
from havrrpd.lab.waiting import LabError

MOST_NODES = 63
RULES = Path(havrrpd.__file__).parents[1] / "config/prometheus/havrrpd.rules.yml"
PROJECTS = 2  # of the reference architecture
# As Neutron writes keepalived.conf.
NEUTRON: Mapping[str, Any] = {"base_priority": 50, "advert_int": 2, "fifo": False, "lever": False}


@dataclass(frozen=True, slots=True)
class Plan:
    """`whole`: also the compute node with its instance, the router without HA and Prometheus.

    `priorities` gives single nodes another base priority. `fifo` and `lever` say whether
    keepalived.conf has the stanza for havrrpd, `unlevered` names nodes that have no lever in any
    case, `check_script` says whether there is a script that checks the gateway. `delay` is one-way,
    in seconds, on the overlay. With `havrrpd` false only keepalived is started. `health_check` has
    more keys of that table, `havrrpd_config` is appended to each node's havrrpd.toml. `rules` is
    where Prometheus finds its alerts.
    """

    nodes: int = 3
    routers: int = 1
    projects: int = 1
    whole: bool = False
    base_priority: int = 150
    advert_int: float = 1
    version: int = 2
    nopreempt: bool = True
    priorities: Mapping[str, int] = field(default_factory=dict)
    fifo: bool = True
    lever: bool = True
    unlevered: tuple[str, ...] = ()
    check_script: bool = False
    delay: float = 0.0
    havrrpd: bool = True
    health_interval: float = 1.0
    health_check: Mapping[str, object] = field(default_factory=dict)
    havrrpd_config: str = ""
    rules: str = str(RULES)

    def __post_init__(self) -> None:
        if not 1 <= self.nodes <= MOST_NODES:
            raise LabError(f"a lab has 1 to {MOST_NODES} network nodes, not {self.nodes}")
        if not 1 <= self.base_priority <= 254:
            raise LabError(f"a base priority is 1 to 254, not {self.base_priority}")
        if self.delay < 0:
            raise LabError(f"a delay is not negative: {self.delay} s")

    @property
    def names(self) -> tuple[str, ...]:
        """Of the network nodes."""
        return tuple(f"network{number}" for number in range(1, self.nodes + 1))

    @property
    def vrrp(self) -> Vrrp:
        return Vrrp(
            base_priority=self.base_priority,
            priorities=self.priorities,
            advert_int=self.advert_int,
            version=self.version,
            nopreempt=self.nopreempt,
            fifo=self.fifo,
            lever=self.lever,
            unlevered=frozenset(self.unlevered),
            check_script=self.check_script,
        )


def whole(routers: int, **differs: Any) -> Plan:
    """The reference architecture: two projects with a router at least, and everything around."""
    return Plan(
        routers=max(routers, PROJECTS),
        projects=PROJECTS,
        whole=True,
        health_check={"uplinks": [f"eth-{Network.OVERLAY}"]},
        **differs,
    )
