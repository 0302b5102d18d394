"""Stands in for keepalived, by the thousand: main processes, each with a VRRP process.

Run as a copy of the interpreter that is called `keepalived`, which is how discovery knows one.
Reads {"netns": PATH, "conf": TEXT, "fifo": PATH} from stdin, a line for each router; says "ready"
when all are there. They hold what havrrpd looks at: the namespace, a netlink socket that hears of
links, the configuration in memory, the FIFO. Only the standard library, and no thread: forking is
cheap then.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import socket
import sys

_CLONE_NEWNET = 0x40000000
_RTMGRP_LINK = 1
_COPY = "/keepalived/consolidated_configuration"  # as keepalived names its memfd


def main() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    gc.freeze()  # what is there now stays shared between all processes
    for line in sys.stdin:
        router = json.loads(line)
        told, said = os.pipe()
        if os.fork() == 0:
            _be_main(libc, router["netns"], router["conf"], router["fifo"], said)
        os.close(said)
        if os.read(told, 1) != b"1":
            raise SystemExit(f"no stand-in for {router['netns']}")
        os.close(told)
    print("ready", flush=True)
    signal.pause()


def _be_main(libc: ctypes.CDLL, netns: str, conf: str, fifo: str, said: int) -> None:
    descriptor = os.open(netns, os.O_RDONLY)
    if libc.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), netns)
    os.close(descriptor)
    if os.fork() == 0:
        _be_vrrp(conf, fifo, said)
    os.close(said)
    signal.pause()


def _be_vrrp(conf: str, fifo: str, said: int) -> None:
    follower = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    follower.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # nobody reads it
    follower.bind((0, _RTMGRP_LINK))
    copy = os.memfd_create(_COPY)
    os.write(copy, conf.encode())
    os.open(fifo, os.O_RDWR | os.O_NONBLOCK)  # held as keepalived holds it, and not read
    os.write(said, b"1")
    os.close(said)
    signal.pause()


if __name__ == "__main__":
    main()
