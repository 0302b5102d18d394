"""A havrrpd that is played: the real web server and views over a node that the test makes up."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_address, ip_interface
from math import inf
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import msgspec
from msgspec.structs import replace

from havrrpd.core.history import History, Kept
from havrrpd.core.model import (
    Cause,
    Election,
    Gateway,
    GatewayCheck,
    Instance,
    InstanceConfig,
    MasterHeard,
    Router,
    Settings,
    State,
    Transition,
    Verdict,
    VirtualAddress,
    Word,
)
from havrrpd.core.node import Node
from havrrpd.views.changes import Changes
from havrrpd.views.web.app import read_only_app
from havrrpd.views.web.door import Admission
from havrrpd.views.web.limits import Limits
from tests.answering import answering_tcp

NO_LIMITS = Limits(connections=1000, client_connections=1000, client_rate=inf)


def router(number: int, state: State = State.BACKUP, **differs: Any) -> Router:
    """One that is well, as Neutron would have it; its last change was `number` seconds ago."""
    now = time.monotonic()
    offered = VirtualAddress(ip_interface(f"169.254.0.{number % 250 + 1}/24"), "ha-1")
    outside = VirtualAddress(ip_interface(f"203.0.113.{number % 250 + 1}/24"), "qg-1", True)
    is_master = state is State.MASTER
    instance = Instance(
        InstanceConfig(
            f"VR_{number % 255 + 1}",
            number % 255 + 1,
            "ha-1",
            priority=150,
            preempt=False,
            virtual_addresses=(offered, outside),
        ),
        state=state,
        since=now - number,
        present=frozenset({offered, outside}) if is_master else frozenset(),
        word=Word(state) if state in set(Word) else None,
        last_sent=inf if is_master else -inf,
        masters=()
        if is_master
        else (MasterHeard(ip_address("169.254.192.2"), 150, 1.0, now - number, now + 1e6),),
        last_transition=Transition(State.BACKUP, state, now - number, Cause.PEER_RESIGNED),
    )
    check = GatewayCheck(
        Gateway(ip_address("203.0.113.1"), "qg-1"),
        Verdict.REACHABLE,
        method="arp",
        rtt_seconds=0.0004,
        checked_at=now,
    )
    name = str(UUID(int=number * 0x9E3779B97F4A7C15F39CC0605CEDC834 % 2**128))
    made = Router(
        name,
        Settings("network1"),
        namespace=f"qrouter-{name}",
        pid=1000 + number,
        listed=True,
        wire_watched=True,
        notify_watched=True,
        links={"ha-1": True, "qg-1": True},
        instances=(instance,),
        checks=(check,) if is_master else (),
        connectivity=Verdict.REACHABLE if is_master else Verdict.UNCHECKED,
        lever=f"/run/havrrpd/levers/{name}",
        election=Election(written=0),
    )
    return replace(made, **differs)


@dataclass
class Stage:
    """A context manager: it answers at `url` from entry to exit; `stop` and `start` in between.

    `past`: transitions, the oldest first.
    """

    routers: dict[str, Router] = field(default_factory=dict)
    past: Iterable[dict[str, Any]] = ()
    ready: bool = True
    draining: bool = False
    stalled: tuple[str, ...] = ()
    port: int = 0

    def __post_init__(self) -> None:
        self._changes = Changes()
        self._history = History()
        for transition in self.past:
            self._history.add(_kept(transition))
        self._started_at = time.monotonic() - 4000.0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._stop = asyncio.Event()
        self._serving: Future[None] | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        started = threading.Event()
        self._serving = asyncio.run_coroutine_threadsafe(self._serve(started), self._loop)
        assert started.wait(10)

    def stop(self) -> None:
        """As a daemon that was killed: nothing listens any more, connections are closed."""
        if self._serving:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._serving.result(10)
            self._serving = None

    # --- what happens on it ---

    def show(self, *routers: Router) -> None:
        def step() -> None:
            for each in routers:
                self.routers[each.id] = each
                self._changes.mark(each.id)

        self._loop.call_soon_threadsafe(step)

    def remove(self, router_id: str) -> None:
        def step() -> None:
            del self.routers[router_id]
            self._changes.mark(router_id)

        self._loop.call_soon_threadsafe(step)

    def move(self, number: int, old: State, new: State, cause: Cause) -> None:
        """`router(number)` changes its state, and that is a transition."""

        def step() -> None:
            identity = self._history.last_id + 1
            self._history.add(_kept(made_transition(identity, number, 0.0, old, new, cause)))

        self.show(router(number, new))
        self._loop.call_soon_threadsafe(step)

    # --- how it is told ---

    def _node(self) -> Node:
        return Node(
            name="network1",
            version="9.9",
            now=time.monotonic(),
            wall_now=time.time(),
            started_at=self._started_at,
            ready=self.ready,
            draining=self.draining,
            routers=dict(self.routers),
            history=self._history,
            stalled_sources=self.stalled,
        )

    async def _serve(self, started: threading.Event) -> None:
        self._stop = asyncio.Event()
        app = read_only_app(self._node, self._changes)
        async with answering_tcp(app, Admission(NO_LIMITS), port=self.port) as (self.port, _):
            started.set()
            await self._stop.wait()


def _kept(transition: dict[str, Any]) -> Kept:
    at = datetime.fromisoformat(transition["at"]).timestamp()
    document = msgspec.json.encode(transition)
    instance, to = transition["vrrp_instance"], State(transition["to"])
    return Kept(transition["id"], transition["router"], instance, to, at, document)


def made_transition(identity: int, number: int, seconds_ago: float, *move: Any) -> dict[str, Any]:
    """One of `router(number)`, with evidence. `move`: the state before, the next one, the cause."""
    old, new, cause = move
    at = datetime.fromtimestamp(time.time() - seconds_ago, UTC)
    stamp = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    said = (
        ("process", f"keepalived runs, pid {1000 + number}", -86_400_000.0),
        ("wire", "169.254.192.2 resigned: priority 0", -12.4),
        ("notification", f"keepalived said {new}", -0.8),
        ("kernel", "2 of 2 virtual addresses are there", 0.0),
    )
    return {
        "id": identity,
        "router": router(number).id,
        "vrrp_instance": f"VR_{number % 255 + 1}",
        "vrid": number % 255 + 1,
        "from": old,
        "to": new,
        "at": stamp,
        "cause": cause,
        "problems": [],
        "evidence": [
            {"witness": witness, "said": text, "at": stamp, "relative_ms": relative}
            for witness, text, relative in said
        ],
    }


def crowd(count: int) -> Iterable[Router]:
    """Every second one is MASTER, and nothing is wrong."""
    return (router(n, State.MASTER if n % 2 else State.BACKUP) for n in range(count))
