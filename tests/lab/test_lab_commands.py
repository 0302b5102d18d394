"""`havrrpd lab`: each command is a process of its own, and the lab is found again on disk."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import havrrpd
from havrrpd.lab.waiting import wait_until

SOURCE = str(Path(havrrpd.__file__).parents[1])
STEADY = 20.0

root = pytest.mark.root
pytestmark = root


@dataclass(frozen=True, slots=True)
class Said:
    code: int
    out: str
    err: str


class Commands:
    """`havrrpd lab ...` with a place of its own on disk."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._environment = {
            **os.environ,
            "HAVRRPD_LAB": str(directory),
            "PYTHONPATH": SOURCE,
            "NO_COLOR": "1",
        }

    def __call__(self, *words: str) -> Said:
        with self.start(*words) as process:
            out, err = process.communicate(timeout=300.0)
        return Said(process.returncode, out, err)

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "havrrpd", "lab", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self._environment,
        )

    def seen(self) -> dict[str, Any]:
        said = self("status", "-o", "json")
        shown: dict[str, Any] = json.loads(said.out)
        return shown

    def states(self) -> dict[str, list[str]]:
        """Of all routers by node; empty where havrrpd does not answer."""
        return {
            name: [router["state"] for router in (status or {"routers": []})["routers"]]
            for name, status in self.seen().items()
        }


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Commands]:
    commands = Commands(tmp_path / "lab")
    yield commands
    said = commands("down")
    assert said.code == 0, said.err
    assert not commands.directory.exists()


def pids_of(lab: Commands) -> list[int]:
    """Of the first processes of the nodes, by what is on disk."""
    known = json.loads((lab.directory / "lab.json").read_text())
    return [pid for group in ("nodes", "others") for pid, _ in known[group].values()]


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def steady(lab: Commands, nodes: int) -> None:
    """Every router has one MASTER, and nothing is wrong."""
    wait_until(lambda: lab("status").code == 0 and masters(lab) == nodes, STEADY, "a steady lab")


def masters(lab: Commands) -> int:
    return sum(states.count("MASTER") for states in lab.states().values())


def test_a_lab_stays_after_the_command_and_another_one_takes_it_down(lab: Commands) -> None:
    said = lab("up", "--nodes", "2")
    assert said.code == 0, said.err
    assert [line.split()[0] for line in said.out.splitlines()] == [
        "network1",
        "network2",
        "prometheus",
    ]
    assert "building network2" in said.err
    steady(lab, 2)
    again = lab("up")
    assert (again.code, again.err) == (
        1,
        "havrrpd: a lab is up already: `havrrpd lab down` takes it down\n",
    )
    pids = pids_of(lab)
    assert all(alive(pid) for pid in pids)
    down = lab("down")
    assert (down.code, down.err) == (0, "down\n")
    assert not any(alive(pid) for pid in pids)


def test_without_a_lab_each_command_says_so(lab: Commands) -> None:
    missing = "havrrpd: there is no lab: `havrrpd lab up` builds one\n"
    for words in (("status",), ("verify",), ("break", "gateway", "network1"), ("exec", "a", "b")):
        said = lab(*words)
        assert (said.code, said.err) == (1, missing), words
    down = lab("down")
    assert (down.code, down.err) == (0, "there is no lab\n")


def test_what_makes_no_sense_is_one_clear_sentence(lab: Commands) -> None:
    assert lab("up", "--nodes", "1").code == 0
    said = lab("break", "overlay", "network9")
    assert (said.code, said.err) == (1, "havrrpd: no node network9: there are network1\n")
    said = lab("heal", "node", "network1")
    assert (said.code, said.err) == (1, "havrrpd: network1 is alive\n")
    said = lab("break", "everything", "network1")
    assert said.code == 2
    assert "'everything' is not one of" in said.err
    said = lab("up", "--base-priority", "300")
    assert said.code == 2
    assert "300 is not in the range 1<=x<=254" in said.err


def test_what_breaks_can_be_healed_by_later_commands(lab: Commands) -> None:
    assert lab("up", "--nodes", "2").code == 0
    steady(lab, 2)
    assert lab("break", "havrrpd", "network2").code == 0
    assert lab.seen()["network2"] is None
    assert lab("status").code == 3
    assert lab("heal", "havrrpd", "network2").code == 0
    steady(lab, 2)
    assert lab("break", "keepalived", "network2").code == 0
    wait_until(lambda: lab.states()["network2"] == ["STOPPED"] * 2, 10.0, "keepalived is dead")
    assert lab("heal", "keepalived", "network2").code == 0
    steady(lab, 2)
    assert lab("break", "node", "network1").code == 0
    wait_until(lambda: lab.states()["network2"] == ["MASTER"] * 2, STEADY, "the other node serves")
    assert lab("heal", "node", "network1").code == 0
    steady(lab, 2)
    assert lab("exec", "network1", "--", "hostname").out == "network1\n"
    assert lab("exec", "compute1", "--", "ip", "netns").out.split()[0] == "instance"


def test_what_is_asked_of_a_dead_node_is_refused_with_the_way_to_bring_it_back(
    lab: Commands,
) -> None:
    assert lab("up", "--nodes", "1").code == 0
    assert lab("break", "node", "network1").code == 0
    dead = "havrrpd: network1 is dead: `havrrpd lab heal node network1` brings it back\n"
    for words in (
        *(("break", what, "network1") for what in ("gateway", "overlay", "node", "keepalived")),
        *(("heal", what, "network1") for what in ("gateway", "overlay", "keepalived", "havrrpd")),
        ("exec", "network1", "--", "true"),
    ):
        said = lab(*words)
        assert (said.code, said.err) == (1, dead), words
    assert lab("heal", "node", "network1").code == 0
    assert lab("exec", "network1", "--", "true").code == 0


def test_one_command_changes_the_lab_at_a_time(lab: Commands) -> None:
    lock = os.open(lab.directory.parent, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    said = lab("up")
    os.close(lock)
    assert (said.code, said.err) == (
        1,
        "havrrpd: another command is changing the lab: wait for it\n",
    )


def test_a_lab_can_only_be_written_down_where_there_is_a_directory(tmp_path: Path) -> None:
    said = Commands(tmp_path / "nowhere" / "lab")("up")
    assert (said.code, said.err) == (
        1,
        f"havrrpd: there is no {tmp_path}/nowhere to write the lab down in\n",
    )


def test_a_lab_of_another_version_can_still_be_taken_down(lab: Commands) -> None:
    assert lab("up", "--nodes", "1").code == 0
    file = lab.directory / "lab.json"
    known = json.loads(file.read_text())
    file.write_text(json.dumps(known | {"plan": known["plan"] | {"colour": "blue"}}))
    said = lab("status")
    assert said.code == 1
    assert said.err.startswith(f"havrrpd: {file} is not of this version of havrrpd (")
    assert said.err.endswith("'colour'\")): `havrrpd lab down` first\n")
    assert lab("down").code == 0
    wait_until(lambda: not _processes_of(lab), 10.0, "the end of every process")


def test_the_pages_are_relayed_also_of_a_node_that_came_back(lab: Commands) -> None:
    said = lab("up", "--nodes", "1")
    urls = dict(line.split() for line in said.out.splitlines())

    def fetched(path: str) -> bytes:
        with urllib.request.urlopen(urls["network1"] + path, timeout=5.0) as response:
            body: bytes = response.read()
        return body

    assert b'"network1"' in fetched("status")
    assert lab("break", "node", "network1").code == 0
    with pytest.raises(OSError):
        fetched("status")
    assert lab("heal", "node", "network1").code == 0
    wait_until(lambda: b'"network1"' in fetched("status"), STEADY, "the new node answers")


def test_a_gateway_lost_for_all_is_back_for_all(lab: Commands) -> None:
    assert lab("up", "--nodes", "2").code == 0
    steady(lab, 2)
    assert lab("break", "gateway", "all").code == 0
    wait_until(lambda: lab("status").code == 3, STEADY, "lost gateways are seen")
    assert lab("heal", "gateway", "all").code == 0
    steady(lab, 2)


def test_keepalived_as_neutron_writes_it_is_watched_and_not_moved(lab: Commands) -> None:
    assert lab("up", "--nodes", "2", "--neutron").code == 0
    steady(lab, 2)
    leading = {status["routers"][0]["election"]["lever"] for status in lab.seen().values()}
    assert leading == {None}
    confs = lab("exec", "network1", "--", "sh", "-c", "cat /run/ha_confs/*/keepalived.conf").out
    for line in ("priority 50", "advert_int 2", "router_id neutron", "garp_master_delay 60"):
        assert confs.count(f"    {line}\n") == 2, confs
    assert not [word for word in ("fifo", "track_file") if word in confs]
    said = lab("verify")
    assert (said.code, said.err) == (
        1,
        "havrrpd: nothing moves when a gateway is lost: this lab was built with --neutron\n",
    )
    assert lab("break", "gateway", "all").code == 0
    wait_until(lambda: "lever_missing" in lab("status").out, STEADY, "it says what is missing")


@pytest.mark.parametrize("after", ["network1", "compute1", "keepalived on network2"])
def test_a_lab_whose_building_was_killed_leaves_nothing(lab: Commands, after: str) -> None:
    with lab.start("up", "--nodes", "2") as process:
        assert process.stderr is not None
        for line in process.stderr:
            if after in line:
                break
        process.send_signal(signal.SIGKILL)
    wait_until(lambda: not _processes_of(lab), 10.0, "the end of every process")
    assert lab("up", "--nodes", "1").code == 0


def _processes_of(lab: Commands) -> list[int]:
    """Whatever was started for it, by the commands or by each other."""
    sign = f"HAVRRPD_LAB={lab.directory}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue  # it ended meanwhile
            if sign in environment.split(b"\0"):
                found.append(int(entry.name))
    return found


def _commands_of(lab: Commands) -> list[str]:
    """Their command lines, in order."""
    found = []
    for pid in _processes_of(lab):
        try:
            found.append(Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip())
        except OSError:
            continue  # it ended meanwhile
    return sorted(found)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_verification_that_was_ended_leaves_a_lab_that_can_be_used(
    lab: Commands, number: signal.Signals
) -> None:
    """It had killed every havrrpd and started others: no later command starts second ones."""
    assert lab("up", "--nodes", "2").code == 0
    before = pids_of(lab)
    with lab.start("verify") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.split()[:2] == ["ok", "8"]:
                break
        stream = lab.directory / "logs" / "tcp.log"
        stream.unlink(missing_ok=True)  # of the steps before
        wait_until(lambda: "echo" in stream.read_text(), 20.0, "the traffic of the next step")
        process.send_signal(number)
        if number == signal.SIGTERM:
            assert process.wait(30.0) == 128 + signal.SIGTERM
            assert not [each for each in _commands_of(lab) if each.startswith("ping")]
    for name in ("network1", "network2"):
        assert lab("heal", "gateway", name).code == 0
        assert lab("heal", "havrrpd", name).code == 0
    assert pids_of(lab) == before
    running = [
        each for each in _commands_of(lab) if "-m havrrpd run" in each and " sh " not in each
    ]
    assert len(running) == 2, running
    steady(lab, 2)


def fired(page: str, start: float, end: float) -> set[str]:
    """The alerts that fired between these moments, as Prometheus has them."""
    words = {"query": 'ALERTS{alertstate="firing"}', "start": start, "end": end, "step": 1}
    url = f"{page}api/v1/query_range?{urllib.parse.urlencode(words)}"
    with urllib.request.urlopen(url, timeout=5.0) as response:
        result = json.load(response)["data"]["result"]
    return {series["metric"]["alertname"] for series in result}


@pytest.mark.alone
def test_the_architecture_holds_in_all_its_steps(lab: Commands) -> None:
    """The whole verification: everything that it breaks, and everything that it measures.

    The alerts stay silent until gateways are lost: what is over sooner is nothing to wake up for.
    """
    pages = dict(line.split() for line in lab("up").out.splitlines())
    began = time.time()
    said = lab("verify", "-o", "json")
    results = json.loads(said.out)
    gateways_lost = time.time() - sum(result["seconds"] for result in results[8:])
    assert fired(pages["prometheus"], began, gateways_lost - 2.0) == set()
    assert "VrrpGatewayLostOnNode" in fired(pages["prometheus"], gateways_lost, time.time())
    assert [result["what"] for result in results if not result["holds"]] == [], said.out
    assert len(results) == 11
    assert said.code == 0
    steady(lab, 2)
