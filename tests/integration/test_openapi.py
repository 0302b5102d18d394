"""/openapi.json against the running app: schemathesis asks for everything, well and badly."""

from __future__ import annotations

import asyncio
import sys
from ipaddress import ip_address, ip_interface
from math import inf
from pathlib import Path

import bcrypt
import pytest
from aiohttp import ClientSession, encode_basic_auth
from aiohttp.web import Application
from msgspec.structs import replace

from havrrpd.core.history import History
from havrrpd.core.messages import ReportTransition
from havrrpd.core.model import (
    Cause,
    Election,
    Gateway,
    GatewayCheck,
    Instance,
    InstanceConfig,
    MasterHeard,
    Phase,
    Problem,
    Router,
    Settings,
    State,
    Statement,
    Transition,
    Verdict,
    VirtualAddress,
    Witness,
    Word,
)
from havrrpd.core.node import Node, OddAdvert, Oddity, Unprotected
from havrrpd.views.history import record
from havrrpd.views.web import openapi
from havrrpd.views.web.app import control_app, read_only_app
from havrrpd.views.web.door import Admission
from havrrpd.views.web.limits import Limits, Refusal
from havrrpd.views.web.orders import RefusedError
from havrrpd.views.web.users import Users
from tests.answering import answering_tcp, on_uvloop

NO_LIMITS = Limits(connections=1000, client_connections=1000, client_rate=inf)
USERS = Users({"alice": bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()})
OFFERED = VirtualAddress(ip_interface("169.254.0.1/24"), "ha-0")
MASTER = Instance(
    InstanceConfig("VR_1", 1, "ha-0", priority=50, virtual_addresses=(OFFERED,), sync_group="G"),
    state=State.MASTER,
    since=990.0,
    present=frozenset({OFFERED}),
    word=Word.MASTER,
    last_sent=999.9,
    masters=(MasterHeard(ip_address("169.254.192.2"), 50, 2.0, 999.0, 999.6),),
    problems=frozenset({Problem.DUPLICATE_MASTER}),
    last_transition=Transition(State.BACKUP, State.MASTER, 990.0, Cause.PEER_RESIGNED),
    transitions=((State.MASTER, Cause.PEER_RESIGNED, 2),),
)
CHECKS = (
    GatewayCheck(
        Gateway(ip_address("203.0.113.1"), "qg-0"),
        Verdict.REACHABLE,
        method="arp",
        rtt_seconds=0.0004,
        checked_at=999.0,
    ),
    GatewayCheck(Gateway(ip_address("fe80::1")), Verdict.LOST, failures_in_a_row=3),
)
WITHOUT_END = ("--exclude-path", "/events")  # it would wait for the end of the answer
ODD = OddAdvert("ha-0", ip_address("169.254.192.3"), frozenset({Oddity.VERSION}), 999.0)
BUSY = Router(
    id="a",
    settings=Settings(node="network1"),
    namespace="qrouter-a",
    pid=123,
    listed=True,
    wire_watched=True,
    notify_watched=True,
    instances=(MASTER, replace(MASTER, config=replace(MASTER.config, version=3), state=State.INIT)),
    checks=CHECKS,
    connectivity=Verdict.REACHABLE,
    lever="/run/havrrpd/levers/a",
    election=Election(
        phase=Phase.DWELLING, cause=Cause.GATEWAY_LOST, tried=True, turns=2, standing=-40
    ),
    uplinks_down=frozenset({"eth-ovl"}),
    problems=frozenset({Problem.LEVER_MISSING}),
)
PROMOTED = ReportTransition(
    "VR_1",
    State.BACKUP,
    State.MASTER,
    Cause.PEER_RESIGNED,
    tuple(Statement(witness, "something", 989.9) for witness in Witness),
)


def promote(history: History) -> None:
    kept = record(history, BUSY, PROMOTED, 1_699_999_000.0)
    assert kept is not None
    history.add(kept)


HISTORY = History()
for _ in range(3):
    promote(HISTORY)
NODE = Node(
    name="network1",
    version="9.9",
    now=1000.0,
    wall_now=1_700_000_000.0,
    started_at=900.0,
    ready=True,
    routers={"a": BUSY, "b": Router(id="b", settings=Settings(node="network1"))},
    unprotected=(Unprotected("c", "qrouter-c"),),
    odd_adverts={"a": (ODD,)},
    history=HISTORY,
)


class Moody:
    """Takes every second order."""

    def __init__(self) -> None:
        self.orders = 0

    def failover(self, router: str) -> None:
        self.orders += 1
        if self.orders % 2:
            raise RefusedError(f"{router} is not MASTER here")

    def drain(self, draining: bool) -> None:
        self.failover(f"a, draining={draining}")

    def reload(self) -> None:
        pass


def reading() -> Application:
    return read_only_app(lambda: NODE)


def ordering() -> Application:
    return control_app(lambda: NODE, Moody())


# What refuses a bad request: also a target that is too long to be read (414).
REFUSALS = """[checks.negative_data_rejection]
expected-statuses = [400, 401, 404, 405, 413, 414]
"""


async def schemathesis(port: int, directory: Path, config: str, *options: str) -> str:
    """What it says when it finds nothing; else the test fails with that."""
    (directory / "schemathesis.toml").write_text(REFUSALS + config)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "run"),
        *(f"http://127.0.0.1:{port}/openapi.json", "--checks", "all", "--no-color"),
        *("--generation-database", "none", *options),
        cwd=directory,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 100)
    assert process.returncode == 0, said.decode()
    return said.decode()


@pytest.mark.parametrize("known", [True, False], ids=["known-router", "any-router"])
@on_uvloop
async def test_schemathesis_finds_nothing(known: bool, tmp_path: Path) -> None:
    config = '[parameters]\n"path.router" = "a"\n' if known else ""
    options = ("--max-examples", "25", *WITHOUT_END)
    async with answering_tcp(ordering(), Admission(NO_LIMITS)) as (port, _):
        said = await schemathesis(port, tmp_path, config, *options)
    operations = len(ordering().router.routes()) - 2  # it does not ask for the document again
    assert f"{operations} selected" in said


@on_uvloop
async def test_schemathesis_finds_no_way_around_the_password(tmp_path: Path) -> None:
    admission = Admission(NO_LIMITS, USERS)
    options = ("--auth", "alice:secret", "--max-examples", "10", *WITHOUT_END)
    async with answering_tcp(reading(), admission) as (port, door):
        await schemathesis(port, tmp_path, "", *options)
        assert door.refused[Refusal.CREDENTIALS] > 0


@pytest.mark.parametrize("users", [USERS, Users({})], ids=["users", "none"])
@on_uvloop
async def test_the_document_says_whether_a_password_is_needed(users: Users) -> None:
    headers = {"Authorization": encode_basic_auth("alice", "secret")}
    async with (
        answering_tcp(reading(), Admission(users=users)) as (port, _),
        ClientSession(f"http://127.0.0.1:{port}", headers=headers) as session,
        session.get("/openapi.json") as answer,
    ):
        document = await answer.json()
    assert document.get("security", []) == ([{"basic": []}] if users else [])
    assert all(
        ("401" in operation["responses"]) is bool(users)
        for path in document["paths"].values()
        for operation in path.values()
    )


def test_every_operation_is_of_some_app() -> None:
    routes = ordering().router.routes()
    methods = {(route.method, route.resource.canonical) for route in routes if route.resource}
    assert {route for route in methods if route[0] != "HEAD"} == set(openapi.OPERATIONS)
