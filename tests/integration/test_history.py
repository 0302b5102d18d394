"""The history and the events of real failovers, over a crash and with a full disk."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pytest

from havrrpd.lab.client import get_json
from havrrpd.lab.waiting import wait_until
from tests.integration.watched import Watched, watched

pytestmark = pytest.mark.root

SOCKET = "/run/havrrpd/havrrpd.sock"
STATE = "/run/havrrpd/state"


def transitions(seen: Watched, node: str) -> list[dict[str, Any]]:
    document = get_json(seen.lab.node(node).path(SOCKET), "/history", 5.0)
    found: list[dict[str, Any]] = document["transitions"]
    return found


def to_master(seen: Watched, node: str) -> dict[str, Any]:
    """The newest transition, once it is one to MASTER."""

    def newest() -> dict[str, Any] | None:
        found = transitions(seen, node)
        return found[0] if found and found[0]["to"] == "MASTER" else None

    found: dict[str, Any] = wait_until(newest, 15.0, f"{node} became MASTER")
    return found


@contextmanager
def events(seen: Watched, node: str) -> Iterator[Iterator[tuple[str, dict[str, Any]]]]:
    """Of a node, as they come; each within 15 s."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(15.0)
        connection.connect(str(seen.lab.node(node).path(SOCKET)))
        connection.sendall(b"GET /events HTTP/1.0\r\n\r\n")
        with connection.makefile("r", encoding="utf-8") as lines:
            yield _parsed(lines)


def _parsed(lines: Iterator[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    name = ""
    for line in lines:
        field, _, value = line.rstrip("\n").partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)


def test_a_failover_is_told_within_a_second_and_kept_over_a_crash() -> None:
    with watched(nodes=2) as seen:
        old = seen.reachable()
        new, router = seen.other(old), seen.lab.routers[0].id
        with events(seen, new) as told:
            assert next(told)[0] == "node"
            seen.havrrpd(old, "failover", router)
            shown = next(d for name, d in told if name == "router" and d["state"] == "MASTER")
            shown_at = time.time()
            transition = next(d for name, d in told if name == "transition")
        assert shown_at - datetime.fromisoformat(transition["at"]).timestamp() < 1.0
        assert shown["instances"][0]["last_transition"]["cause"] == transition["cause"]

        assert transition == to_master(seen, new)
        assert (transition["from"], transition["cause"]) == ("BACKUP", "peer_resigned")
        times = [each["relative_ms"] for each in transition["evidence"]]
        assert times == sorted(times)
        said = {each["said"]: each["relative_ms"] for each in transition["evidence"]}
        resigned = next(at for text, at in said.items() if text.endswith("resigned: priority 0"))
        assert -1500 < resigned < -300  # Skew_Time, and the moment until all agreed
        assert -300 < said["keepalived said MASTER"] <= 0
        kernel = next(e for e in transition["evidence"] if e["witness"] == "kernel")
        assert -300 < kernel["relative_ms"] <= 0
        given_up = next(t for t in transitions(seen, old) if t["to"] == "FAULT")
        assert given_up["cause"] == "failover_requested"
        assert "this node resigns: failover_requested" in [e["said"] for e in given_up["evidence"]]
        assert any(e["witness"] == "gateway" for e in given_up["evidence"])
        table = seen.havrrpd(new, "history", router, "-n", "1", "-v")
        assert "peer_resigned" in table.splitlines()[1]
        assert "resigned: priority 0" in table

        before = transitions(seen, new)
        seen.lab.kill_havrrpd(new)
        seen.lab.start_havrrpd(new)
        seen.wait_state(new, "MASTER")
        assert transitions(seen, new) == before  # what it found was as it had left it
        seen.lab.kill_keepalived(new)
        seen.wait_state(new, "STOPPED")
        died = transitions(seen, new)[0]
        assert (died["id"], died["cause"]) == (before[0]["id"] + 1, "keepalived_died")


def test_a_full_disk_is_said_once_and_stops_nothing() -> None:
    with watched(nodes=2) as seen:
        master = seen.steady()
        node, other = seen.lab.node(master), seen.other(master)
        seen.lab.stop_havrrpd(master)
        node.shell(f"mount -t tmpfs -o size=64k tmpfs {STATE}; cat /dev/zero > {STATE}/big || true")
        seen.lab.start_havrrpd(master)
        seen.wait_state(master, "MASTER")
        log = seen.lab.havrrpd[master].log
        wait_until(lambda: "history.not_written" in log.read_text(), 5.0, "it says so")
        seen.havrrpd(master, "failover", seen.lab.routers[0].id, "--wait")
        seen.wait_state(other, "MASTER")
        seen.wait_cause(master, "BACKUP", "failover_requested")
        kept = transitions(seen, master)
        assert [each["to"] for each in kept] == ["BACKUP", "FAULT", "MASTER"]
        assert log.read_text().count("history.not_written") == 1
        node.path(f"{STATE}/big").unlink()
        wait_until(lambda: "history.written_again" in log.read_text(), 15.0, "it writes again")
        lines = node.path(f"{STATE}/history.jsonl").read_text().splitlines()
        assert [json.loads(line) for line in lines[1:]] == kept[::-1]
