"""One look at a directory tells whether a FIFO in it may have been remade."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from havrrpd.sources.notify.directories import GRAIN, Directories


@pytest.fixture
def long_ago(tmp_path: Path) -> Path:
    """A directory in which nothing was made of late."""
    os.utime(tmp_path, (1e9, 1e9))
    return tmp_path


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_directory_is_looked_through_once_and_then_when_it_changed(long_ago: Path) -> None:
    directories = Directories()
    used = directories.use(long_ago)
    assert directories.changed() == {used}
    assert directories.changed() == set()
    os.mkfifo(long_ago / "r")
    os.utime(long_ago, (1e9, 1e9 + 1))
    assert directories.changed() == {used}
    assert directories.changed() == set()


def test_one_that_just_changed_may_have_changed_again_in_the_same_tick(long_ago: Path) -> None:
    directories = Directories()
    used = directories.use(long_ago)
    directories.changed()
    os.utime(long_ago, ns=(time.time_ns(), time.time_ns() + GRAIN * 1000))
    assert directories.changed() == {used}
    assert directories.changed() == {used}


def test_one_more_fifo_in_it_is_one_more_reason_to_look(long_ago: Path) -> None:
    directories = Directories()
    used = directories.use(long_ago)
    directories.changed()
    assert directories.use(long_ago) == used
    assert directories.changed() == {used}


def test_it_is_open_once_and_as_long_as_somebody_uses_it(long_ago: Path) -> None:
    directories, before = Directories(), open_descriptors()
    first, second = directories.use(long_ago), directories.use(long_ago)
    assert open_descriptors() == before + 1
    directories.leave(first)
    assert open_descriptors() == before + 1
    directories.leave(second)
    assert open_descriptors() == before
    assert directories.changed() == set()


def test_what_is_no_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        Directories().use(tmp_path / "file")
