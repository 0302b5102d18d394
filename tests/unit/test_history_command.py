"""`havrrpd history`, run as a user runs it, and /history as anybody may ask it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from aiohttp import ClientSession, UnixConnector
from msgspec.structs import replace

from havrrpd.core.history import History
from tests.unit.test_cli import NODE, Daemon, answering, havrrpd
from tests.unit.test_history import promoted


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "havrrpd.sock"


@pytest.fixture
def daemon() -> Daemon:
    """Three transitions of r1, which is not there any more."""
    history = History()
    for at in (10.0, 20.0, 30.0):
        promoted(history, at)
    return Daemon(replace(NODE, history=history))


async def test_the_newest_transitions_as_a_table_or_json(path: Path, daemon: Daemon) -> None:
    async with answering(path, daemon):
        table = await havrrpd("history", path=path)
        two = await havrrpd("history", "r1", "-n", "2", "-o", "json", path=path)
        evidence = await havrrpd("history", "r1", "-n", "1", "-v", path=path)
    assert (table.code, table.err) == (0, "")
    assert [line.split()[2] for line in table.out.splitlines()] == ["INSTANCE", "r1", "r1", "r1"]
    assert [each["id"] for each in json.loads(two.out)["transitions"]] == [3, 2]
    said = "wire          169.254.192.2 resigned: priority 0"
    assert evidence.out.splitlines()[2].endswith(said)


async def test_without_any_transition_it_says_so_and_an_unknown_router_is_an_error(
    path: Path,
) -> None:
    async with answering(path, Daemon()):
        none = await havrrpd("history", path=path)
        unknown = await havrrpd("history", "b", path=path)
    assert (none.code, none.out, none.err) == (0, "", "no transitions yet\n")
    assert (unknown.code, unknown.err) == (
        1,
        "havrrpd: no router b on this node; havrrpd status lists them\n",
    )


async def test_what_is_asked_of_the_history_is_answered_or_refused(
    path: Path, daemon: Daemon
) -> None:
    asked = {
        "/history": 200,
        "/history?router=a": 200,  # it is there, and did nothing yet
        "/history?router=r1&since=2023-11-14T22:13:40.000Z": 200,
        "/history?router=b": 404,
        "/history?limit=0": 400,
        "/history?since=2023-11-14": 400,
    }
    answers = {}
    async with (
        answering(path, daemon),
        ClientSession("http://havrrpd", connector=UnixConnector(str(path))) as session,
    ):
        for url in asked:
            async with session.get(url) as answer:
                answers[url] = (answer.status, await answer.json())
    assert {url: status for url, (status, _) in answers.items()} == asked
    found = [answer.get("transitions") for _, answer in answers.values()]
    assert [[each["id"] for each in some] for some in found[:3]] == [[3, 2, 1], [], [3, 2]]
    error = {"error": 'limit: must be from 1 to 10000, got "0"'}
    assert answers["/history?limit=0"] == (400, error)
