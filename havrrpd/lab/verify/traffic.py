"""Traffic through the first router: pings and a TCP stream, and how long each stood still.

Run in a namespace, `python -m havrrpd.lab.verify.traffic serve PORT` echoes lines, and
`... stream ADDRESS PORT` sends numbered lines on one connection and prints each that comes back,
behind the wall clock as `ping -D` writes it.
"""

from __future__ import annotations

import re
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import havrrpd
from havrrpd.lab import instance
from havrrpd.lab.lab import COMPUTE, Lab
from havrrpd.lab.network import UPSTREAM
from havrrpd.lab.process import Process
from havrrpd.lab.router import FLOATING_ADDRESS, INSTANCE_ADDRESSES
from havrrpd.lab.waiting import LabError, wait_until

INTERVAL = 0.05  # seconds: 20 a second
_PORT = 7777
_STREAM_LIMIT = 30.0  # seconds without an echo after which the stream has ended
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
        upstream = self._lab.any_node(UPSTREAM)
        for kind, address in (
            ("IPv4", FLOATING_ADDRESS),
            ("IPv6", INSTANCE_ADDRESSES[1].split("/")[0]),
        ):
            argv = ["ping", "-D", "-n", "-i", str(INTERVAL), address]
            self._sent[kind] = upstream.start(argv, _fresh_log(self._lab, f"ping-{kind}.log"))
        run = [sys.executable, "-m", __name__]
        environment = {"PYTHONPATH": _SOURCE}
        server = self._lab.any_node(COMPUTE).start(
            ["ip", "netns", "exec", instance.NAMESPACE, *run, "serve", str(_PORT)],
            _fresh_log(self._lab, "tcp-server.log"),
            environment,
        )
        wait_until(lambda: "listening" in server.log.read_text(), 10.0, "the TCP server")
        self._sent["TCP"] = upstream.start(
            [*run, "stream", FLOATING_ADDRESS, str(_PORT)],
            _fresh_log(self._lab, "tcp.log"),
            environment,
        )
        self._all = [*self._sent.values(), server]
        try:
            self.wait_flowing(time.time(), 10.0)
        except BaseException:
            self.__exit__()
            raise
        return self

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
        """Seconds between two replies, the first of which may be the last one before `since`."""
        times = [reply.at for reply in self.replies(kind)]
        before = [at for at in times if at <= since][-1:]
        counted = [*before, *(at for at in times if at > since)]
        return max((later - earlier for earlier, later in pairwise(counted)), default=float("inf"))

    def lost(self, kind: str, since: float) -> int:
        """How many did not come back, from the last reply before `since` to the last of all."""
        replies = self.replies(kind)
        before = [reply.number for reply in replies if reply.at <= since][-1:]
        numbers = [*before, *(reply.number for reply in replies if reply.at > since)]
        return numbers[-1] - numbers[0] + 1 - len(set(numbers)) if numbers else -1


def _fresh_log(lab: Lab, name: str) -> str:
    (lab.logs / name).unlink(missing_ok=True)
    return name


# --- the TCP stream, in processes of its own ---


def _serve(port: int) -> None:
    with socket.create_server(("0.0.0.0", port)) as listening:
        print("listening", flush=True)
        connection, _ = listening.accept()
        with connection:
            while data := connection.recv(4096):
                connection.sendall(data)


def _stream(address: str, port: int) -> None:
    with socket.create_connection((address, port), 10.0) as connection:
        connection.settimeout(_STREAM_LIMIT)
        threading.Thread(target=_send, args=(connection,), daemon=True).start()
        for number, line in enumerate(connection.makefile()):
            if line != f"{number}\n":
                raise ValueError(f"{line!r} came back instead of {number}")
            print(f"[{time.time():.6f}] echo: icmp_seq={number} time=", flush=True)


def _send(connection: socket.socket) -> None:
    """Numbered lines, at a fixed rate."""
    number, due = 0, time.monotonic()
    while True:
        connection.sendall(f"{number}\n".encode())
        number, due = number + 1, due + INTERVAL
        time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve", port]:
            _serve(int(port))
        case ["stream", address, port]:
            _stream(address, int(port))
