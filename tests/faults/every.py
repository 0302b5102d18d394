"""Every fault, by the name of its row: importing the modules registers what they hold."""

from __future__ import annotations

from tests.faults import links, machine, paths, processes
from tests.faults.registry import FAULTS

__all__ = ["FAULTS", "MODULES"]

MODULES = (processes, links, paths, machine)
