"""A havrrpd that is played: the real web server and views over a node that the test makes up.

Its /history and /events keep the contract, with transitions of the test's own.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_address, ip_interface
from math import inf
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import msgspec
from aiohttp.web import Request, Response, StreamResponse
from msgspec.structs import replace

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
from havrrpd.views.status import router_status, status
from havrrpd.views.web import answers
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
    """A context manager: it answers at `url` from entry to exit; `stop` and `start` in between."""

    routers: dict[str, Router] = field(default_factory=dict)
    name: str = "network1"
    ready: bool = True
    draining: bool = False
    stalled: tuple[str, ...] = ()
    transitions: list[dict[str, Any]] = field(default_factory=list)  # newest first
    port: int = 0

    def __post_init__(self) -> None:
        self._listeners: set[asyncio.Queue[tuple[str, Any]]] = set()
        self._started_at = time.monotonic() - 4000.0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._stop = asyncio.Event()
        self._serving: Any = None

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
        if self._serving:
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
        started.wait(10)

    def stop(self) -> None:
        """As a daemon that was killed: nothing listens any more, connections are closed."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._serving.result(10)
        self._serving = None

    def node(self) -> Node:
        return Node(
            name=self.name,
            version="9.9",
            now=time.monotonic(),
            wall_now=time.time(),
            started_at=self._started_at,
            ready=self.ready,
            draining=self.draining,
            routers=self.routers,
            stalled_sources=self.stalled,
        )

    # --- what happens on it ---

    def show(self, *routers: Router) -> None:
        for each in routers:
            self.routers[each.id] = each
            self._tell("router", router_status(self.node(), each.id))

    def remove(self, router_id: str) -> None:
        del self.routers[router_id]
        self._tell("router_removed", {"router": router_id})

    def become(self, *, ready: bool = True, draining: bool = False) -> None:
        self.ready, self.draining = ready, draining
        self._tell("node", self._node_event())

    def move(self, router_id: str, old: State, new: State, cause: Cause, **told: Any) -> None:
        """Also its transition."""
        number = next(n for n in range(100_000) if router(n).id == router_id)
        changed = router(0, new)
        self.show(replace(self.routers[router_id], instances=changed.instances))
        transition = made_transition(len(self.transitions) + 1, number, 0.0, old, new, cause)
        self.transitions.insert(0, {**transition, **told})
        self._tell("transition", self.transitions[0])

    def _tell(self, event: str, document: Any) -> None:
        def tell() -> None:
            for queue in self._listeners:
                queue.put_nowait((event, document))

        self._loop.call_soon_threadsafe(tell)

    # --- how it is told ---

    async def _serve(self, started: threading.Event) -> None:
        app = read_only_app(self.node)
        app.router.add_get("/history", self._history)
        app.router.add_get("/events", self._events)
        self._stop = asyncio.Event()
        async with answering_tcp(app, Admission(NO_LIMITS), port=self.port) as (port, _):
            self.port = port
            started.set()
            await self._stop.wait()

    async def _history(self, request: Request) -> Response:
        limit = int(request.query.get("limit", "1000"))
        return answers.json({"node": self.name, "transitions": self.transitions[:limit]})

    async def _events(self, request: Request) -> StreamResponse:
        queue: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        self._listeners.add(queue)
        stream = StreamResponse(headers={"Content-Type": "text/event-stream"})
        await stream.prepare(request)
        queue.put_nowait(("node", self._node_event()))
        try:
            while True:
                event, document = await queue.get()
                data = msgspec.json.encode(document).decode()
                await stream.write(f"event: {event}\ndata: {data}\n\n".encode())
        finally:
            self._listeners.discard(queue)

    def _node_event(self) -> dict[str, Any]:
        whole = status(self.node())
        return {k: v for k, v in whole.items() if k not in ("routers", "unprotected")}


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
