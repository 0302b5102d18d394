"""`pytest -n 2 --dist loadscope`: what only computes runs beside what needs the machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
COMPUTING = ("fuzz", "simulation", "unit")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    from xdist.scheduler import LoadScopeScheduling

    scheduling = LoadScopeScheduling(config, log)
    scheduling._split_scope = kind_of  # a worker for each kind of tests
    return scheduling


def kind_of(nodeid: str) -> str:
    return "computing" if nodeid.split("/")[1] in COMPUTING else "machine"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Who computes waits for who measures."""
    is_computing = item.path.relative_to(HERE).parts[0] in COMPUTING
    if is_computing and "PYTEST_XDIST_WORKER" in os.environ:
        os.setpriority(os.PRIO_PROCESS, 0, 10)
