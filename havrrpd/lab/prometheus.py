"""Prometheus in the lab: Debian's, on a node of its own, asks every havrrpd and has the alerts."""

from __future__ import annotations

import json
import shutil
import socket
import sys
from collections.abc import Iterable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote

from havrrpd.lab import daemon
from havrrpd.lab.network import management_address
from havrrpd.lab.node import Node
from havrrpd.lab.process import Process
from havrrpd.lab.waiting import LabError

PORT = 9090
SCRAPE_INTERVAL = 1  # seconds
_UNPACKED = Path(sys.prefix, "prometheus", "usr", "bin", "prometheus")  # by the Makefile


def binary() -> str:
    """Where the program is; LabError with what to do when it is nowhere."""
    found = shutil.which("prometheus") or (str(_UNPACKED) if _UNPACKED.exists() else None)
    if found is None:
        raise LabError(
            "there is no prometheus: `make demo` fetches it, or apt-get install prometheus"
        )
    return found


def configuration(names: Iterable[str], rules: str) -> str:
    """prometheus.yml: one target a network node, under its name; and the file with the rules.

    An installed havrrpd has no such file beside it: then there are no alerts.
    """
    targets = "".join(
        f"""
      - targets: ["{management_address(number)}:{daemon.PORT}"]
        labels: {{instance: {name}}}"""
        for number, name in enumerate(names, start=1)
    )
    return f"""global:
  scrape_interval: {SCRAPE_INTERVAL}s
  evaluation_interval: {SCRAPE_INTERVAL}s
rule_files: [{json.dumps(rules)}]
scrape_configs:
  - job_name: havrrpd
    static_configs:{targets}
"""


def start(node: Node, names: Iterable[str], rules: str) -> Process:
    program = binary()
    if program == str(_UNPACKED):  # its pages are where the package would be installed
        share = _UNPACKED.parents[1] / "share" / "prometheus"
        node.shell(
            "mount -t tmpfs tmpfs /usr/share\nmkdir /usr/share/prometheus\n"
            f"mount --bind {share} /usr/share/prometheus"
        )
    node.path("/run/prometheus").mkdir()
    node.path("/run/prometheus/prometheus.yml").write_text(configuration(names, rules))
    return node.start(
        [
            program,
            "--config.file=/run/prometheus/prometheus.yml",
            "--storage.tsdb.path=/run/prometheus/data",
            f"--web.listen-address=0.0.0.0:{PORT}",
        ],
        log="prometheus.log",
    )


def query(node: Node, expression: str) -> dict[str, str]:
    """The value of each instance now; OSError as long as Prometheus does not answer."""
    return {each["metric"]["instance"]: each["value"][1] for each in series(node, expression)}


def series(node: Node, expression: str) -> list[dict[str, Any]]:
    """What an expression gives now, as Prometheus' API has it."""
    result: list[dict[str, Any]] = _asked(node, f"query?query={quote(expression)}")["result"]
    return result


def firing(node: Node) -> frozenset[str]:
    """The alerts that fire now; OSError as long as Prometheus does not answer."""
    alerts = _asked(node, "alerts")["alerts"]
    return frozenset(each["labels"]["alertname"] for each in alerts if each["state"] == "firing")


def _asked(node: Node, path: str) -> dict[str, Any]:
    connection = HTTPConnection("127.0.0.1", PORT)
    connection.sock = node.inside(lambda: socket.create_connection(("127.0.0.1", PORT), 2.0))
    try:
        connection.request("GET", f"/api/v1/{path}")
        answer = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    if answer["status"] != "success":
        raise LabError(f"Prometheus: {path}: {answer['error']}")
    data: dict[str, Any] = answer["data"]
    return data
