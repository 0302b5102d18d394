"""What only computes runs beside what has the machine: two groups of tests, for two workers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

HERE = Path(__file__).parent
COMPUTING = ("fuzz", "simulation", "unit")
OF_A_WORKER = "PYTEST_XDIST_WORKER" in os.environ


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        kind = item.path.relative_to(HERE).parts[0]
        group = "computing" if kind in COMPUTING else "machine"
        item.add_marker(pytest.mark.xdist_group(group))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Who computes waits for who measures."""
    if OF_A_WORKER and item.path.relative_to(HERE).parts[0] in COMPUTING:
        os.setpriority(os.PRIO_PROCESS, 0, 10)
