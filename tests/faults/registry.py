"""The faults by the names of their rows: each is done, and undone, by one generator function."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from tests.faults.place import Place

Fault = Callable[[Place], AbstractContextManager[None]]

FAULTS: dict[str, Fault] = {}


def fault(name: str) -> Callable[[Callable[[Place], Iterator[None]]], Fault]:
    """Enter to do it, leave to put right what caused it."""

    def register(function: Callable[[Place], Iterator[None]]) -> Fault:
        assert name not in FAULTS, name
        FAULTS[name] = contextmanager(function)
        return FAULTS[name]

    return register
