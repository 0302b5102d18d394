"""All rules, and all kinds of finding that they have: one module for each thing that is judged."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

from havrrpd.doctor.facts import Facts
from havrrpd.doctor.findings import Finding, Kind, Level
from havrrpd.doctor.rules import (
    daemon,
    faults,
    keepalived,
    kernel,
    lever,
    neutron,
    node,
    notify,
    priorities,
    routers,
    wire,
)

MODULES: tuple[ModuleType, ...] = (
    daemon,
    node,
    kernel,
    keepalived,
    faults,
    lever,
    notify,
    priorities,
    wire,
    routers,
    neutron,
)
_BAD_FIRST = {level: number for number, level in enumerate(Level)}


def examine(facts: Facts) -> list[Finding]:
    """Every finding: the worst first, then in the order of the rules."""
    found = [finding for module in MODULES for finding in _of(module, facts)]
    return sorted(found, key=lambda finding: _BAD_FIRST[finding.level])


def kinds() -> list[Kind]:
    """Every kind of finding that there is, in the order of the rules."""
    return [kind for module in MODULES for kind in module.KINDS]


def _of(module: ModuleType, facts: Facts) -> Iterator[Finding]:
    findings: Iterator[Finding] = module.findings(facts)
    return findings
