"""`make test` has a worker for each kind of tests: two that mostly wait, and one that computes.

So their tests run side by side, and those of a kind one after another. Each worker runs in
`tests/worker`: none sees the processes, namespaces and keepalived of another. Beside a test that is
marked `alone` none but those that compute run.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_SH, LOCK_UN, flock
from pathlib import Path
from typing import Any

import pytest

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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return (yield)
    if kind_of(item.nodeid) == COMPUTING:
        os.setpriority(os.PRIO_PROCESS, 0, 10)  # who computes waits for who measures
        return (yield)
    with holding_the_machine(alone=item.get_closest_marker("alone") is not None):
        return (yield)


@contextmanager
def holding_the_machine(*, alone: bool) -> Iterator[None]:
    """Who waits to be alone holds the door, so that no other test begins meanwhile."""
    with Path(__file__).with_name("worker").open() as door, Path(__file__).open() as machine:
        flock(door, LOCK_EX)
        flock(machine, LOCK_EX if alone else LOCK_SH)
        flock(door, LOCK_UN)
        yield
