"""What every havrrpd of a lab says of one router, again and again, by a thread for each node."""

from __future__ import annotations

import http
import http.client
import json
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from havrrpd.lab.client import UnixConnection
from havrrpd.lab.lab import Lab
from havrrpd.lab.waiting import LabError
from tests.faults.looking import Looking

EVERY = 0.1  # seconds between two looks
PATIENCE = 0.5  # seconds for an answer
UNLISTED = "not listed"


@dataclass(frozen=True, slots=True)
class Sample:
    """An answer, at the time when it had come. `state` is UNLISTED for a router that it has not."""

    at: float
    node: str
    state: str
    problems: frozenset[str]
    cause: str | None
    phase: str
    notification: str
    transitions: int
    whole: dict[str, Any]

    @property
    def advert_ints(self) -> list[float]:
        return [instance["advert_int"] for instance in self.whole.get("instances", ())]

    @property
    def sure_master(self) -> bool:
        return self.state == "MASTER" and not self.problems


class Watch(Looking):
    """A context manager: from entry to exit the samples are kept."""

    def __init__(self, lab: Lab, number: int = 1) -> None:
        super().__init__(lab.names, EVERY)
        self._lab = lab
        self._router = lab.routers[number - 1].id
        self._samples: list[Sample] = []
        self._more = threading.Condition()
        self._connections: dict[str, UnixConnection] = {}

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        for connection in self._connections.values():
            connection.close()

    def samples(self, since: float) -> list[Sample]:
        return [sample for sample in list(self._samples) if sample.at >= since]

    def newest(self) -> dict[str, Sample]:
        """Of each node; one that does not answer has none, or an old one."""
        return {sample.node: sample for sample in list(self._samples)}

    def forget(self) -> None:
        self._samples = []

    def wait_more(self, seconds: float) -> None:
        """Until there is one more sample."""
        with self._more:
            self._more.wait(seconds)

    def look(self, name: str) -> None:
        """One connection is kept: then a daemon without descriptors can still answer."""
        try:
            if name not in self._connections:
                socket = self._lab.node(name).path("/run/havrrpd/havrrpd.sock")
                self._connections[name] = UnixConnection(socket, PATIENCE)
            self._keep(name, *_get(self._connections[name], f"/status/{self._router}"))
        except (OSError, LabError, http.client.HTTPException):
            if connection := self._connections.pop(name, None):
                connection.close()

    def _keep(self, name: str, code: int, body: bytes) -> None:
        now = time.monotonic()
        sample = sample_of(now, name, json.loads(body) if code == http.HTTPStatus.OK else None)
        with self._more:
            self._samples.append(sample)
            self._more.notify_all()


def _get(connection: UnixConnection, path: str) -> tuple[int, bytes]:
    connection.request("GET", path)
    response = connection.getresponse()
    return response.status, response.read()


def sample_of(at: float, node: str, router: dict[str, Any] | None) -> Sample:
    if router is None:
        return Sample(at, node, UNLISTED, frozenset(), None, "", "", 0, {})
    problems, phase = frozenset(router["problems"]), router["election"]["phase"]
    state, instances = router["state"], router["instances"]
    if not instances:
        return Sample(at, node, state, problems, None, phase, "", 0, router)
    instance = instances[0]
    last = instance["last_transition"] or {}
    return Sample(
        at,
        node,
        state,
        problems | frozenset(instance["problems"]),
        last.get("cause"),
        phase,
        instance["witnesses"]["notification"],
        instance["transitions"],
        router,
    )
