"""`make test` has a worker for each kind of tests: two that mostly wait, and one that computes.

So their tests run side by side, and those of a kind one after another. Each worker runs in
`tests/worker`: none sees the processes, namespaces and keepalived of another.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
COMPUTING = "computing"
KINDS = {
    "browser": "machine",
    "fuzz": COMPUTING,
    "integration": "daemon",
    "lab": "machine",
    "simulation": COMPUTING,
    "system": "machine",
    "unit": COMPUTING,
}


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    from xdist.scheduler import LoadScopeScheduling

    scheduling = LoadScopeScheduling(config, log)
    scheduling._split_scope = kind_of
    return scheduling


def kind_of(nodeid: str) -> str:
    return KINDS[nodeid.split("/")[1]]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Who computes waits for who measures."""
    kind = KINDS[item.path.relative_to(HERE).parts[0]]
    if kind == COMPUTING and "PYTEST_XDIST_WORKER" in os.environ:
        os.setpriority(os.PRIO_PROCESS, 0, 10)
