"""A lab under a test's eyes: the words in which tests ask what its havrrpds say."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from havrrpd.lab.lab import Lab
from havrrpd.lab.process import Process
from havrrpd.lab.waiting import LabError, wait_until

QUICK = "[election]\nsettle = 0.25\n"


class Watched:
    """A lab, and the words in which a test asks what its havrrpds say."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.captured: list[Process] = []

    def router(self, node: str, number: int = 1) -> dict[str, Any]:
        wanted = self.lab.routers[number - 1].id
        routers = self.lab.node(node).status()["routers"]
        found = [router for router in routers if router["router"] == wanted]
        if not found:
            raise LabError(f"{node} does not list router {number} yet")
        router: dict[str, Any] = found[0]
        return router

    def instance(self, node: str) -> dict[str, Any]:
        instance: dict[str, Any] = self.router(node)["instances"][0]
        return instance

    def states(self) -> dict[str, str]:
        living = [n for n in self.lab.names if self.lab.havrrpd[n].running]
        return {node: self.router(node)["state"] for node in living}

    def steady(self) -> str:
        """Wait until one node is MASTER and the others are BACKUP; returns the MASTER."""
        return wait_until(self._master, 20.0, "one MASTER, the others BACKUP")

    def reachable(self) -> str:
        """Wait for a steady lab whose MASTER reaches its gateways; returns the MASTER."""

        def found() -> str:
            master = self._master()  # it may have moved since the last look
            if (said := self.router(master)["connectivity"]) != "reachable":
                raise LabError(f"{master} is MASTER, and its gateways are {said}")
            return master

        return wait_until(found, 30.0, "a MASTER that reaches its gateways")

    def _master(self) -> str:
        others = len(self.lab.names) - 1
        states = self.states()
        if sorted(states.values()) != ["BACKUP"] * others + ["MASTER"]:
            raise LabError(f"states: {states}")
        return next(node for node, state in states.items() if state == "MASTER")

    def wait_state(self, node: str, state: str, limit: float = 10.0) -> dict[str, Any]:
        wait_until(lambda: self.router(node)["state"] == state, limit, f"{node} is {state}")
        return self.instance(node)["last_transition"] or {}

    def wait_cause(self, node: str, state: str, cause: str, limit: float = 10.0) -> None:
        def seen() -> bool:
            last = self.instance(node)["last_transition"]
            if last and (last["to"], last["cause"]) == (state, cause):
                return True
            raise LabError(f"last transition of {node}: {last}")

        wait_until(seen, limit, f"{node} went {state} because of {cause}")

    def wait_problem(self, node: str, problem: str, limit: float = 12.0) -> None:
        def seen() -> bool:
            router = self.router(node)
            everything = [*router["problems"], *self.instance(node).get("problems", [])]
            if problem in everything:
                return True
            raise LabError(f"{node}: {router['state']} {everything}")

        wait_until(seen, limit, f"{node} shows {problem}")

    def wait_no_problems(self, node: str, limit: float = 15.0) -> None:
        wait_until(
            lambda: not self.router(node)["problems"] or None, limit, f"{node} without problems"
        )

    def other(self, *nodes: str) -> str:
        return next(node for node in self.lab.names if node not in nodes)

    def havrrpd(self, node: str, *words: str) -> str:
        return self.lab.node(node).exec([sys.executable, "-m", "havrrpd", *words])

    def metric(self, node: str, name: str) -> float:
        """The sum of a metric's series."""
        fetch = "import urllib.request as r; print(r.urlopen('{}').read().decode())"
        url = "http://127.0.0.1:9912/metrics"
        text = self.lab.node(node).exec([sys.executable, "-c", fetch.format(url)])
        lines = (line for line in text.splitlines() if line.startswith(name + "{"))
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    def capture(self, node: str) -> list[Process]:
        """Capture what leaves the router's qr- and qg- interfaces on a node."""
        router = self.lab.routers[0]
        started = []
        for interface in (router.qr, router.qg):
            argv = ["ip", "netns", "exec", router.namespace, "tcpdump", "-n", "-Q", "out"]
            log = f"{node}-{interface}-{len(self.captured)}.tcpdump"
            process = self.lab.node(node).start([*argv, "-i", interface], log)
            self.captured.append(process)
            started.append(process)
        for process in started:
            wait_until(partial(_listens, process), 5.0, "a capture")
        return started

    def packets(self, captures: list[Process]) -> list[int]:
        """End the captures; how many packets each has seen."""
        for process in captures:
            process.signal(signal.SIGINT)
            process.wait(5.0)
        found = [re.search(r"^(\d+) packets? captured", p.log.read_text(), re.M) for p in captures]
        return [int(match[1]) for match in found if match]

    def namespace_exec(self, node: str, command: str) -> None:
        namespace = self.lab.routers[0].namespace
        self.lab.node(node).shell(f"ip netns exec {namespace} sh -euc '{command}'")


def _listens(process: Process) -> bool:
    return "listening" in process.log.read_text()


@contextmanager
def watched(
    nodes: int = 3, more: str = QUICK, priorities: dict[str, int] | None = None, **options: Any
) -> Iterator[Watched]:
    with Lab(
        nodes=nodes, havrrpd_config=more, keep_logs=True, priorities=priorities or {}, **options
    ) as lab:
        yield Watched(lab)
