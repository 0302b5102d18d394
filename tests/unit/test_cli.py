"""The commands, run as a user runs them, against the real web app on a Unix socket."""

from __future__ import annotations

import asyncio
import grp
import json
import os
import re
import socket
import sys
import tempfile
import tomllib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import encode_basic_auth
from msgspec.structs import replace

from havrrpd.client import Client, NoAnswerError
from havrrpd.config import parse
from havrrpd.core.model import (
    Election,
    Instance,
    InstanceConfig,
    MasterHeard,
    Phase,
    Problem,
    Router,
    Settings,
    State,
    Word,
)
from havrrpd.core.node import Node, Unprotected
from havrrpd.stanza import for_router, generic
from havrrpd.views.status import router_status
from havrrpd.views.status import status as node_status
from havrrpd.views.web.app import control_app
from havrrpd.views.web.orders import RefusedError
from havrrpd.views.web.users import Users
from havrrpd.waiting import LIMIT, wait_for_drain, wait_for_failover
from tests.answering import answering_unix

CONFIG = InstanceConfig("VR_1", 1, "ha-0", priority=50, preempt=False)
MASTER = Instance(CONFIG, state=State.MASTER, since=990.0, word=Word.MASTER)
ROUTER = Router(
    id="a",
    settings=Settings(node="network1"),
    namespace="qrouter-a",
    pid=123,
    listed=True,
    notify_watched=True,
    wire_watched=True,
    instances=(MASTER,),
    lever="/run/havrrpd/levers/a",
)
NODE = Node(
    name="network1",
    version="9.9",
    now=1000.0,
    wall_now=1_700_000_000.0,
    started_at=900.0,
    ready=True,
    routers={"a": ROUTER},
)
PEER = MasterHeard(ip_address("169.254.192.2"), 50, 2.0, 999.0, 999.6)
BACKUP = replace(MASTER, state=State.BACKUP, masters=(PEER,), word=Word.BACKUP)


def status(node: Node) -> dict[str, Any]:
    """As a client gets it."""
    return json.loads(msgspec.json.encode(node_status(node)))  # type: ignore[no-any-return]


@dataclass
class Daemon:
    """A node that does what is ordered at once."""

    node: Node = NODE
    refusal: str = ""
    config_error: str = ""
    given: list[object] = field(default_factory=list)

    def snapshot(self) -> Node:
        return self.node

    def failover(self, router: str) -> None:
        self._take(("failover", router))
        self._give_away()

    def drain(self, draining: bool) -> None:
        self._take(("drain", draining))
        self._give_away()
        self.node = replace(self.node, draining=draining)

    def reload(self) -> None:
        if self.config_error:
            raise ValueError(self.config_error)
        self._take("reload")

    def _give_away(self) -> None:
        self.node = replace(self.node, routers={"a": replace(ROUTER, instances=(BACKUP,))})

    def _take(self, order: object) -> None:
        if self.refusal:
            raise RefusedError(self.refusal)
        self.given.append(order)


@dataclass
class Ran:
    code: int
    out: str
    err: str


async def python(
    *arguments: str, path: Path | None = None, said: str = "", **environment: str
) -> Ran:
    """Runs the interpreter of the tests with these arguments; `said`: what stdin has."""
    home = str(Path(__file__).parents[2])
    variables = {**os.environ, "PYTHONPATH": home, "NO_COLOR": "1", **environment}
    if path is not None:
        variables["HAVRRPD_SOCKET"] = str(path)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        env=variables,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(said.encode()), 20)
    assert process.returncode is not None
    return Ran(process.returncode, out.decode(), err.decode())


async def havrrpd(*arguments: str, path: Path | None = None) -> Ran:
    return await python("-m", "havrrpd", *arguments, path=path)


@asynccontextmanager
async def answering(path: Path, daemon: Daemon) -> AsyncIterator[None]:
    async with answering_unix(control_app(daemon.snapshot, daemon), path):
        yield


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "havrrpd.sock"


# --- the commands ---


async def test_status_prints_a_table_and_talks_on_stderr(path: Path) -> None:
    async with answering(path, Daemon()):
        ran = await havrrpd("status", path=path)
    assert ran.code == 0
    head, line = ran.out.splitlines()
    assert re.split("  +", head) == [
        *("ROUTER", "INSTANCE", "INTERFACE", "VRID", "STATE", "PRIORITY"),
        *("LAST TRANSITION", "GATEWAYS", "ELECTION", "PROBLEMS"),
    ]
    assert line.split()[:6] == ["a", "VR_1", "ha-0", "1", "MASTER", "50"]
    assert ran.err == "network1: routers: 1 MASTER; 0 problems\n"


async def test_status_as_json_is_what_the_daemon_said(path: Path) -> None:
    async with answering(path, Daemon()):
        whole = await havrrpd("status", "-o", "json", path=path)
        one = await havrrpd("status", "a", "-o", "json", path=path)
    assert json.loads(whole.out) == status(NODE)
    assert json.loads(one.out) == router_status(NODE, "a")
    assert (whole.code, whole.err, one.code) == (0, "", 0)


async def test_status_exits_with_3_when_a_router_has_a_problem(path: Path) -> None:
    router = replace(ROUTER, problems=frozenset({Problem.GATEWAY_UNREACHABLE}))
    async with answering(path, Daemon(replace(NODE, routers={"a": router}))):
        ran = await havrrpd("status", path=path)
    assert ran.code == 3
    assert "gateway_unreachable" in ran.out


async def test_a_router_without_protection_has_a_row_and_is_no_failure(path: Path) -> None:
    unprotected = (Unprotected("b", "qrouter-b"),)
    async with answering(path, Daemon(replace(NODE, unprotected=unprotected))):
        ran = await havrrpd("status", path=path)
        one = await havrrpd("status", "a", path=path)
    assert ran.code == 0
    row = ran.out.splitlines()[-1]
    assert row.split(maxsplit=9) == ["b", *"--------", "not protected"]
    assert row.index("-") == ran.out.index("INSTANCE")
    assert ran.err == "network1: routers: 1 MASTER, 1 not protected; 0 problems\n"
    assert len(one.out.splitlines()) == 2


async def test_an_unknown_router_is_a_failure(path: Path) -> None:
    async with answering(path, Daemon()):
        ran = await havrrpd("status", "b", path=path)
    said = "havrrpd: no router b on this node; havrrpd status lists them\n"
    assert (ran.code, ran.out, ran.err) == (1, "", said)


async def test_a_daemon_that_does_not_answer_is_said_in_one_sentence(path: Path) -> None:
    ran = await havrrpd("status", path=path)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == (
        f"havrrpd: the daemon does not answer on {path}: no such file or directory; "
        "is it running? systemctl status havrrpd\n"
    )


async def test_explain_prints_a_sentence_a_line(path: Path) -> None:
    async with answering(path, Daemon()):
        ran = await havrrpd("explain", "a", path=path)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == router_status(NODE, "a")["explanation"]
    assert ran.out.startswith("MASTER for 10 s.\n")


async def test_explain_as_json_names_the_router(path: Path) -> None:
    async with answering(path, Daemon()):
        ran = await havrrpd("explain", "a", "-o", "json", path=path)
    explanation = router_status(NODE, "a")["explanation"]
    assert (ran.code, ran.err) == (0, "")
    assert json.loads(ran.out) == {"router": "a", "explanation": explanation}


async def test_explain_exits_with_3_when_something_is_wrong_with_the_router(path: Path) -> None:
    router = replace(ROUTER, problems=frozenset({Problem.GATEWAY_UNREACHABLE}))
    async with answering(path, Daemon(replace(NODE, routers={"a": router}))):
        ran = await havrrpd("explain", "a", path=path)
    assert ran.code == 3
    assert "\ngateway_unreachable: " in ran.out


async def test_explain_fails_for_an_unknown_router_and_without_an_answer(path: Path) -> None:
    silent = await havrrpd("explain", "a", path=path)
    async with answering(path, Daemon()):
        unknown = await havrrpd("explain", "b", path=path)
    assert (unknown.code, unknown.out) == (1, "")
    assert unknown.err == "havrrpd: no router b on this node; havrrpd status lists them\n"
    assert (silent.code, silent.out) == (1, "")
    assert "the daemon does not answer on" in silent.err


async def test_failover_waits_and_says_who_took_over(path: Path) -> None:
    daemon = Daemon()
    async with answering(path, daemon):
        ran = await havrrpd("failover", "a", "--wait", path=path)
    assert daemon.given == [("failover", "a")]
    assert ran.code == 0
    assert ran.out.startswith("a: 169.254.192.2 (priority 50) is MASTER, after 0.")


async def test_a_refused_failover_is_a_failure_with_the_reason(path: Path) -> None:
    async with answering(path, Daemon(refusal="a is not failed over: observe_only is set")):
        ran = await havrrpd("failover", "a", path=path)
    assert (ran.code, ran.err) == (1, "havrrpd: a is not failed over: observe_only is set\n")


async def test_drain_undrain_and_reload_are_ordered(path: Path) -> None:
    daemon = Daemon()
    async with answering(path, daemon):
        codes = [
            (await havrrpd(*arguments, path=path)).code
            for arguments in (("drain", "--wait"), ("undrain",), ("reload",))
        ]
    assert codes == [0, 0, 0]
    assert daemon.given == [("drain", True), ("drain", False), "reload"]


async def test_a_reload_of_a_bad_configuration_exits_with_2(path: Path) -> None:
    async with answering(path, Daemon(config_error="x.toml: a\nx.toml: b")):
        ran = await havrrpd("reload", path=path)
    assert (ran.code, ran.err) == (2, "havrrpd: x.toml: a\nhavrrpd: x.toml: b\n")


async def test_config_check_names_every_problem_and_exits_with_2(tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    await asyncio.to_thread(bad.write_text, "[health_check]\nfall = 0\nrise = 0\n")
    ran = await havrrpd("config", "check", str(bad))
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        f"havrrpd: {bad}: health_check.fall: must be a whole number from 1 to 1000, got 0\n"
        f"havrrpd: {bad}: health_check.rise: must be a whole number from 1 to 1000, got 0\n"
    )


async def test_a_password_becomes_a_hash_that_the_configuration_takes() -> None:
    ran = await python("-m", "havrrpd", "config", "hash-password", said="correct horse\n")
    assert (ran.code, ran.err) == (0, "")
    config = parse(f'[web]\nbasic_auth_users = {{ alice = "{ran.out.strip()}" }}', "test")
    authorization = encode_basic_auth("alice", "correct horse")
    assert await Users(config.web.basic_auth_users).accept(authorization, "client")


async def test_an_empty_password_is_none() -> None:
    ran = await python("-m", "havrrpd", "config", "hash-password", said="\n")
    assert (ran.code, ran.out, ran.err) == (2, "", "havrrpd: a password has 1 to 72 bytes\n")


async def test_config_show_prints_toml_with_every_default(tmp_path: Path) -> None:
    good = tmp_path / "good.toml"
    await asyncio.to_thread(good.write_text, "[health_check]\ninterval = 5\n")
    ran = await havrrpd("config", "show", "--config", str(good))
    assert (ran.code, ran.err) == (0, "")
    assert parse(ran.out, "shown").health_check.interval == 5
    assert "fall = 3\n" in ran.out


async def test_the_configuration_as_json_is_the_same_as_in_toml(tmp_path: Path) -> None:
    good = tmp_path / "good.toml"
    await asyncio.to_thread(good.write_text, "[health_check]\ninterval = 5\n")
    as_toml = await havrrpd("config", "show", "--config", str(good))
    as_json = await havrrpd("config", "show", "--config", str(good), "-o", "json")
    assert json.loads(as_json.out) == tomllib.loads(as_toml.out)


@pytest.mark.parametrize(
    "arguments",
    [
        ("statsu",),
        ("status", "--colour"),
        ("status", "-o", "yaml"),
        ("explain",),
        ("config", "show", "--config", "/nonexistent"),
        ("run", "--config", "/nonexistent"),
        ("keepalived", "stanza", "--config", "/nonexistent"),
    ],
    ids=" ".join,
)
async def test_wrong_usage_and_a_bad_configuration_exit_with_2(
    path: Path, arguments: tuple[str, ...]
) -> None:
    ran = await havrrpd(*arguments, path=path)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err


async def test_every_order_fails_without_a_daemon(path: Path) -> None:
    orders = (("failover", "a"), ("drain",), ("undrain",), ("reload",))
    rans = await asyncio.gather(*(havrrpd(*order, path=path) for order in orders))
    assert {(ran.code, ran.out) for ran in rans} == {(1, "")}
    assert all("is it running? systemctl status havrrpd" in ran.err for ran in rans)


@pytest.mark.parametrize("state", [State.FAULT, State.STOPPED])
async def test_status_and_explain_exit_with_3_for_a_router_that_is_down(
    path: Path, state: State
) -> None:
    pid = None if state is State.STOPPED else 123
    router = replace(ROUTER, pid=pid, instances=(replace(MASTER, state=state),))
    async with answering(path, Daemon(replace(NODE, routers={"a": router}))):
        rans = [await havrrpd(command, "a", path=path) for command in ("status", "explain")]
    assert [ran.code for ran in rans] == [3, 3]


# --- which router ---


async def test_a_router_is_known_by_how_its_id_or_namespace_begins(path: Path) -> None:
    router = replace(ROUTER, id="3f2a-1", namespace="qrouter-3f2a-1")
    other = replace(ROUTER, id="3f4b", namespace="blue")
    node = replace(NODE, routers={"3f2a-1": router, "3f4b": other})
    daemon = Daemon(node)
    async with answering(path, daemon):
        begun = await havrrpd("status", "3f2", "-o", "json", path=path)
        within = await havrrpd("explain", "qrouter-3f", "-o", "json", path=path)
        ordered = await havrrpd("failover", "blue", path=path)
    assert json.loads(begun.out)["router"] == "3f2a-1"
    assert json.loads(within.out)["router"] == "3f2a-1"
    assert (ordered.code, ordered.err, daemon.given) == (
        *(0, "3f4b: resigning\n"),
        [("failover", "3f4b")],
    )


@pytest.mark.parametrize("command", ["status", "explain", "failover", "stanza"])
async def test_a_beginning_that_several_have_lists_them_and_does_nothing(
    path: Path, command: str
) -> None:
    names = [f"3f{number:02}" for number in range(12)]
    daemon = Daemon(replace(NODE, routers={name: replace(ROUTER, id=name) for name in names}))
    words = ("keepalived", command) if command == "stanza" else (command,)
    async with answering(path, daemon):
        ran = await havrrpd(*words, "3f", path=path)
    assert (ran.code, ran.out, daemon.given) == (1, "", [])
    assert ran.err == f"havrrpd: 3f begins 12 routers: {', '.join(names[:10])} and 2 more\n"


async def test_an_unknown_router_is_answered_with_near_names_or_why_it_is_none(path: Path) -> None:
    routers = {"3f2a-1": replace(ROUTER, id="3f2a-1")}
    node = replace(NODE, routers=routers, unprotected=(Unprotected("b", "qrouter-b"),))
    async with answering(path, Daemon(node)):
        near = await havrrpd("status", "3f2b", path=path)
        bare = await havrrpd("status", "b", path=path)
        empty = await havrrpd("failover", "", path=path)
    assert near.err == "havrrpd: no router 3f2b on this node; did you mean 3f2a-1?\n"
    assert bare.err == "havrrpd: b is not protected: no keepalived runs in qrouter-b\n"
    assert [ran.code for ran in (near, bare, empty)] == [1, 1, 1]


async def test_names_of_routers_are_completed(path: Path) -> None:
    words = {"COMP_WORDS": "havrrpd explain a", "COMP_CWORD": "2"}
    async with answering(path, Daemon()):
        ran = await python(
            *("-m", "havrrpd"), path=path, _HAVRRPD_COMPLETE="bash_complete", **words
        )
    assert (ran.code, ran.out) == (0, "plain,a\n")


# --- who may ask ---


@pytest.mark.root
def test_who_may_not_use_the_socket_is_told_who_may() -> None:
    def refused() -> str:
        groups = os.getgroups()
        os.setgroups([])
        os.setegid(65534)
        os.seteuid(65534)
        try:
            with pytest.raises(NoAnswerError) as caught:
                Client(str(path)).status()
        finally:
            os.seteuid(0)
            os.setegid(0)
            os.setgroups(groups)
        return str(caught.value)

    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as daemon:
        path = Path(folder) / "s"
        daemon.bind(str(path))
        os.chmod(folder, 0o755)
        path.chmod(0o660)
        text = f"the daemon does not answer on {path}: permission denied; use sudo"
        assert refused() == text
        os.chown(path, 0, grp.getgrnam("adm").gr_gid)
        assert refused() == f"{text}, or join its group adm"
        os.chmod(folder, 0o700)
        assert refused() == text


async def test_the_stanza_of_a_known_router_names_its_instances(path: Path) -> None:
    async with answering(path, Daemon()):
        ran = await havrrpd("keepalived", "stanza", "a", path=path)
    assert (ran.code, ran.err) == (0, "")
    assert "vrrp_instance VR_1 {\n    track_file {\n" in ran.out


async def test_the_stanza_without_a_daemon_leaves_the_names_open(path: Path) -> None:
    ran = await havrrpd("keepalived", "stanza", "a", path=path)
    assert ran.code == 0
    assert "vrrp_instance INSTANCE {\n" in ran.out
    assert "the names of its instances are left to you" in ran.err


async def test_the_doctor_works_without_a_daemon_and_exits_with_3(path: Path) -> None:
    ran = await havrrpd("doctor", path=path)
    assert ran.code == 3
    assert f"no answer on {path}: no such file or directory\n" in ran.out
    assert ", without the daemon: " in ran.err


async def test_the_doctor_looks_on_with_a_mistake_in_the_configuration(
    path: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.toml"
    await asyncio.to_thread(bad.write_text, "[health_check]\nfall = 0\n")
    ran = await havrrpd("doctor", "--config", str(bad), "-o", "json", path=path)
    assert ran.code == 2
    findings = json.loads(ran.out)["findings"]
    assert findings[0]["name"] == "config_refused"
    assert findings[0]["what"].startswith(f"{bad}: health_check.fall: must be a whole number")
    assert len(findings) > 1


async def test_the_doctor_as_a_plugin_says_one_line_and_exits_with_its_code(path: Path) -> None:
    ran = await havrrpd("doctor", "--nagios", path=path)
    assert (ran.code, ran.err) == (2, "")
    assert ran.out.startswith("CRITICAL - ")
    assert ran.out.count("\n") == 1
    assert " | fail=" in ran.out


async def test_the_doctor_asks_on_the_socket_of_the_configuration(tmp_path: Path) -> None:
    good = tmp_path / "good.toml"
    await asyncio.to_thread(good.write_text, f'[paths]\nsocket = "{tmp_path}/s"\n')
    ran = await havrrpd("doctor", "--config", str(good))
    assert f"no answer on {tmp_path}/s: " in ran.out


async def test_status_imports_neither_the_server_nor_netlink(path: Path) -> None:
    watch = (
        "import atexit, sys\n"
        "heavy = ('aiohttp', 'asyncio', 'pyroute2', 'prometheus_client', 'msgspec', 'uvloop')\n"
        "atexit.register(lambda: print([m for m in heavy if m in sys.modules], file=sys.stderr))\n"
        "sys.argv = ['havrrpd', 'status', '-o', 'json']\n"
        "from havrrpd.cli import main\n"
        "main()\n"
    )
    async with answering(path, Daemon()):
        ran = await python("-c", watch, path=path)
    assert (ran.code, ran.err) == (0, "[]\n")


# --- waiting ---


def answers(*states: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    """One after the other, the last one for ever."""
    left = list(states)
    return lambda: left.pop(0) if len(left) > 1 else left[0]


def clock(step: float) -> Callable[[], float]:
    now = [0.0]

    def tick() -> float:
        now[0] += step
        return now[0]

    return tick


def shown(instance: Instance, phase: Phase = Phase.STEADY, *, draining: bool = False) -> Any:
    router = replace(ROUTER, instances=(instance,), election=Election(phase=phase))
    return status(replace(NODE, routers={"a": router}, draining=draining))


def router_shown(instance: Instance, phase: Phase = Phase.STEADY) -> Any:
    return shown(instance, phase)["routers"][0]


def no_pause(_seconds: float) -> None:
    """Time moves with the clock."""


def test_waiting_ends_when_another_master_is_heard() -> None:
    outcome = wait_for_failover(
        answers(
            router_shown(MASTER),
            router_shown(MASTER, Phase.RESIGNING),
            router_shown(replace(BACKUP, state=State.FAULT, masters=()), Phase.RESIGNING),
            router_shown(replace(BACKUP, state=State.FAULT), Phase.RESIGNING),
        ),
        clock(0.1),
        no_pause,
    )
    assert (outcome.good, outcome.text) == (
        True,
        "169.254.192.2 (priority 50) is MASTER, after 0.4 s",
    )


def test_waiting_ends_when_nobody_took_over() -> None:
    outcome = wait_for_failover(
        answers(router_shown(MASTER, Phase.RESIGNING), router_shown(MASTER, Phase.ALONE)),
        clock(0.1),
        no_pause,
    )
    assert (outcome.good, outcome.text) == (
        False,
        "nobody took it over; this node is MASTER again",
    )


def test_waiting_ends_when_nothing_happens_at_all() -> None:
    outcome = wait_for_failover(answers(router_shown(MASTER)), clock(0.5), no_pause)
    assert (outcome.good, outcome.text) == (False, "this node did not resign")


def test_waiting_for_a_drain_ends_with_the_last_router() -> None:
    outcome = wait_for_drain(
        answers(shown(MASTER), shown(MASTER, draining=True), shown(BACKUP, draining=True)),
        clock(0.5),
        no_pause,
    )
    assert outcome.good


def test_waiting_for_a_drain_names_what_is_left() -> None:
    outcome = wait_for_drain(answers(shown(MASTER, draining=True)), clock(LIMIT), no_pause)
    assert (outcome.good, outcome.text) == (False, "still here after 60 s: a")


# --- the stanza ---


def test_the_stanza_is_what_keepalived_needs() -> None:
    assert for_router("/run/n", "/run/l", status(NODE)["routers"][0]) == (
        "global_defs {\n    vrrp_notify_fifo /run/n/a root\n}\n\n"
        "track_file havrrpd {\n    file /run/l/a\n    weight 1\n    init_file 0\n}\n\n"
        "vrrp_instance VR_1 {\n    track_file {\n        havrrpd\n    }\n}\n"
    )


def test_the_lever_of_a_sync_group_is_in_the_group() -> None:
    members = tuple(
        replace(MASTER, config=replace(CONFIG, name=name, sync_group="G")) for name in ("A", "B")
    )
    node = replace(NODE, routers={"a": replace(ROUTER, instances=members)})
    text = for_router("/run/n", "/run/l", status(node)["routers"][0])
    assert text.count("vrrp_sync_group G {\n    sync_group_tracking_weight\n") == 1
    assert "vrrp_instance" not in text


def test_the_generic_stanza_says_what_a_router_is() -> None:
    assert generic("/run/n", "/run/l").startswith("# ROUTER: the UUID of a qrouter-")
