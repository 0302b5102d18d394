"""Traffic through the first router: pings and a TCP stream, and how long each stood still."""

from __future__ import annotations

import re
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import havrrpd
from havrrpd.lab import instance, stream
from havrrpd.lab.lab import COMPUTE, Lab
from havrrpd.lab.network import UPSTREAM
from havrrpd.lab.node import Node
from havrrpd.lab.process import Process
from havrrpd.lab.router import FLOATING_ADDRESS, INSTANCE_ADDRESSES
from havrrpd.lab.waiting import LabError, wait_until

_REPLY = re.compile(r"^\[(\d+\.\d+)\] .*icmp_seq=(\d+) .*time=", re.M)
_SOURCE = str(Path(havrrpd.__file__).parents[1])


@dataclass(frozen=True, slots=True)
class Reply:
    at: float  # by the wall clock
    number: int


class Traffic:
    """A context manager: from entry to exit it flows, from the provider network to the instance."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._sent: dict[str, Process] = {}
        self._all: list[Process] = []

    def __enter__(self) -> Traffic:
        try:
            self._start_all()
            self.wait_flowing(time.time(), 10.0)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start_all(self) -> None:
        upstream, compute = self._lab.any_node(UPSTREAM), self._lab.any_node(COMPUTE)
        inside = INSTANCE_ADDRESSES[1].split("/")[0]
        for kind, address in (("IPv4", FLOATING_ADDRESS), ("IPv6", inside)):
            argv = ["ping", "-D", "-n", "-i", str(stream.INTERVAL), address]
            self._sent[kind] = self._start(upstream, argv, f"ping-{kind}.log")
        run = [sys.executable, "-m", stream.__name__]
        serve = ["ip", "netns", "exec", instance.NAMESPACE, *run, "serve"]
        server = self._start(compute, serve, "tcp-server.log")
        port = wait_until(lambda: server.log.read_text().strip(), 10.0, "the TCP server's port")
        send = [*run, "send", FLOATING_ADDRESS, port]
        self._sent["TCP"] = self._start(upstream, send, "tcp.log")

    def _start(self, node: Node, argv: Sequence[str], log: str) -> Process:
        (self._lab.logs / log).unlink(missing_ok=True)
        process = node.start(argv, log, {"PYTHONPATH": _SOURCE})
        self._all.append(process)
        return process

    def __exit__(self, *_: object) -> None:
        for process in self._all:
            process.signal(signal.SIGKILL)
        for process in self._all:
            process.wait(5.0)

    def replies(self, kind: str) -> list[Reply]:
        text = self._sent[kind].log.read_text()
        if not self._sent[kind].running:
            raise LabError(f"{kind} has ended: {text.splitlines()[-1:]}")
        return [Reply(float(at), int(number)) for at, number in _REPLY.findall(text)]

    def wait_flowing(self, since: float, limit: float) -> None:
        """Until each kind had a reply after `since`, and goes on."""
        for kind in self._sent:

            def flows(kind: str = kind) -> bool:
                return len([r for r in self.replies(kind) if r.at > since]) >= 5

            wait_until(flows, limit, f"{kind} flows")

    def longest_gap(self, kind: str, since: float) -> float:
        return longest_gap(self.replies(kind), since)

    def lost(self, kind: str, since: float) -> int:
        return lost(self.replies(kind), since)


def longest_gap(replies: Sequence[Reply], since: float) -> float:
    """Seconds between two replies, the first of which may be the last one before `since`."""
    times = [reply.at for reply in _counted(replies, since)]
    return max((later - earlier for earlier, later in pairwise(times)), default=float("inf"))


def lost(replies: Sequence[Reply], since: float) -> int:
    """How many did not come back, from the last reply before `since` to the last of all."""
    numbers = [reply.number for reply in _counted(replies, since)]
    return max(numbers) - min(numbers) + 1 - len(set(numbers))


def _counted(replies: Sequence[Reply], since: float) -> list[Reply]:
    """LabError without any: then nothing can be said."""
    before = [reply for reply in replies if reply.at <= since][-1:]
    counted = [*before, *(reply for reply in replies if reply.at > since)]
    if not counted:
        raise LabError("no reply has come at all")
    return counted
