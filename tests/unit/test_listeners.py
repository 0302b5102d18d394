"""Which sockets of a process hear of links, by asking them and by the kernel's table."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from havrrpd.sources.keepalived.listeners import decode_link_listeners, link_listeners

LINKS, ADDRESSES = 1, 0x10  # the bits of RTNLGRP_LINK and RTNLGRP_IPV4_IFADDR
PROC = Path("/proc")
NETLINK = """\
sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode
00000000a2009038 0   0          00000000 0        0        0     2        0        10447
00000000507f558e 0   7204       00000111 0        0        0     2        0        10150
00000000507f558f 0   7203       00000110 0        0        0     2        0        10149
00000000cecde2f3 15  3815753328 00000001 0        0        0     2        0        10151
"""


@pytest.fixture
def sockets() -> Iterator[dict[str, socket.socket]]:
    with ExitStack() as opened:
        found = {
            name: opened.enter_context(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol))
            for name, protocol in (("links", 0), ("addresses", 0), ("deaf", 0), ("uevents", 15))
        }
        found["links"].bind((0, LINKS | ADDRESSES))
        found["addresses"].bind((0, ADDRESSES))
        found["uevents"].bind((0, LINKS))
        found["unix"] = opened.enter_context(socket.socket(socket.AF_UNIX))
        yield found


def inode(each: socket.socket) -> int:
    return os.fstat(each.fileno()).st_ino


def listed(sockets: dict[str, socket.socket]) -> dict[int, int]:
    return {each.fileno(): inode(each) for each in sockets.values()}


def test_only_a_route_socket_that_hears_of_links_counts(sockets: dict[str, socket.socket]) -> None:
    assert link_listeners(PROC, os.getpid(), listed(sockets)) == {inode(sockets["links"])}
    assert decode_link_listeners(NETLINK) == {10150}


def test_a_descriptor_that_was_closed_or_became_a_file_since_counts_for_nothing(
    sockets: dict[str, socket.socket], tmp_path: Path
) -> None:
    before = {10_000: 1, **listed(sockets)}  # no descriptor has that number
    file = os.open(tmp_path, os.O_RDONLY)
    os.dup2(file, sockets["unix"].fileno())
    os.close(file)
    assert link_listeners(PROC, os.getpid(), before) == {inode(sockets["links"])}


def test_a_process_that_is_gone_is_an_error() -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    with pytest.raises(ProcessLookupError):
        link_listeners(PROC, ended.pid, {})


@pytest.mark.root
def test_the_table_says_so_where_a_process_may_not_be_looked_into(
    sockets: dict[str, socket.socket],
) -> None:
    roots = subprocess.Popen(["sleep", "60"], pass_fds=[s.fileno() for s in sockets.values()])
    os.seteuid(65534)
    try:
        found = link_listeners(PROC, roots.pid, listed(sockets))
    finally:
        os.seteuid(0)
        roots.kill()
        roots.wait()
    assert found == {inode(sockets["links"])}
