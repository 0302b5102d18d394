"""Faults of the two files between keepalived and havrrpd: the notify FIFO and the lever."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator

from havrrpd.lab.keepalived import LEVER_DIR
from havrrpd.lab.waiting import wait_until
from tests.faults.place import Place
from tests.faults.registry import fault


@fault("fifo_remade")
def fifo_remade(place: Place) -> Iterator[None]:
    place.fifo.unlink()
    os.mkfifo(place.fifo, 0o600)
    yield
    place.reload()  # it opens the new one
    _wait_opened(place)


@fault("fifo_removed")
def fifo_removed(place: Place) -> Iterator[None]:
    place.fifo.unlink()
    place.reload()  # it makes another one, and will again at each reload
    _wait_opened(place)
    yield
    place.keepalived.stop()
    wait_until(place.fifo.exists, 5.0, "the FIFO that havrrpd makes")
    place.start_keepalived()


@fault("fifo_replaced")
def fifo_replaced(place: Place) -> Iterator[None]:
    """By a file, which keepalived takes as it is when it is told to reload."""
    place.fifo.unlink()
    place.fifo.write_text("")
    place.reload()
    yield
    place.fifo.unlink()
    os.mkfifo(place.fifo, 0o600)
    place.reload()
    _wait_opened(place)


def _wait_opened(place: Place) -> None:
    """Until havrrpd reads the FIFO that is on the disk now."""
    wait_until(lambda: _is_open(place), 5.0, "havrrpd reads the new FIFO")


def _is_open(place: Place) -> bool:
    inode = place.fifo.stat().st_ino
    directory = f"/proc/{place.havrrpd.pid}/fd"
    return any(os.stat(f"{directory}/{name}").st_ino == inode for name in os.listdir(directory))


@fault("fifo_full")
def fifo_full(place: Place) -> Iterator[None]:
    """While nobody reads, it is filled with a word that is not true; later ones find no room."""
    place.havrrpd.signal(signal.SIGSTOP)
    writer = os.open(place.fifo, os.O_WRONLY | os.O_NONBLOCK)
    line = f'INSTANCE "{place.instance}" FAULT 150\n'.encode()
    try:
        while True:
            os.write(writer, line)
    except BlockingIOError:
        pass
    finally:
        os.close(writer)
    place.begins()
    place.havrrpd.signal(signal.SIGCONT)
    yield
    place.keepalived.stop()  # its next words are true
    place.start_keepalived()


@fault("lever_dir_removed")
def lever_dir_removed(place: Place) -> Iterator[None]:
    """And then the router should move: its gateway is lost on this node."""
    directory = place.node.path(LEVER_DIR)
    shutil.rmtree(directory)
    assert "lever_directory_missing" in place.doctor()
    place.begins()
    place.lab.break_gateway(place.name)
    yield
    directory.mkdir(mode=0o750)
    place.reload()  # it watches the new directory
    place.wait_moved()
    place.lab.heal_gateway(place.name)
