"""What havrrpd exports, and what an expression asks for: what is not there shows nothing.

The expressions are read by promtool for their grammar; here only the names in them are looked at.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from havrrpd.core.model import (
    Gateway,
    GatewayCheck,
    HealthCheck,
    Instance,
    InstanceConfig,
    Router,
    Settings,
    Verdict,
)
from havrrpd.core.node import Counters, Node
from havrrpd.views.metrics import render

ROOT = Path(__file__).parents[1]
PROMTOOL = ROOT / ".venv/prometheus/usr/bin/promtool"  # by the Makefile

Labels = Mapping[str, set[str] | None]  # the values that a label can have; None: any

ADDED: Labels = {"job": None, "instance": None}  # by Prometheus, to every series
_CLOSED = {"state", "to", "cause", "problem", "direction", "family", "method", "outcome", "source"}
# A text; or a name, its matchers, and the parenthesis of a function.
_SELECTOR = re.compile(r'"(?:[^"\\]|\\.)*"|([a-zA-Z_:][\w:]*)\s*(?:\{([^}]*)\})?(\s*\()?')
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"')
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_OPERATORS = {"and", "or", "unless", "bool", "offset"}


def promtool(*words: str, stdin: bytes | None = None) -> str:
    """What it says of an input that is good; AssertionError with its words for a bad one."""
    assert PROMTOOL.exists(), f"there is no {PROMTOOL}: `make test` fetches it"
    argv = [str(PROMTOOL), *words]
    done = subprocess.run(argv, input=stdin, capture_output=True, check=False, timeout=60)
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said
    return said


def body() -> bytes:
    """/metrics of a node with a router, its gateways checked, and everything that is counted."""
    checks = tuple(
        GatewayCheck(Gateway(ip_address(address), "qg-0"), Verdict.REACHABLE, rtt_seconds=0.001)
        for address in ("203.0.113.1", "fe80::1")
    )
    instance = Instance(InstanceConfig("VR_1", 1, "ha-0"))
    settings = Settings(node="network1", health_check=HealthCheck(interval=1.0))
    router = Router("a", settings, pid=1, instances=(instance,), checks=checks)
    node = Node(
        name="network1",
        version="9.9",
        now=1.0,
        wall_now=1.0,
        started_at=0.0,
        routers={"a": router},
        counters=Counters(0, {"state": 1}, {"checksum": 1}, {"client_rate": 1}),
        sources=("netlink",),
    )
    return render(node, "text/plain")[0]


def exported() -> dict[str, Labels]:
    """Every metric of havrrpd, and `up`, with its labels and the values that they can have."""
    found: dict[str, dict[str, set[str] | None]] = {"up": {**ADDED}}
    for family in text_string_to_metric_families(body().decode()):
        for sample in family.samples:
            known = found.setdefault(sample.name, {**ADDED})
            for label, value in sample.labels.items():
                values = known.setdefault(label, set() if label in _CLOSED else None)
                if values is not None:
                    values.add(value)
    return {**found}


def complaints(expression: str, known: Mapping[str, Labels]) -> Iterator[str]:
    """What the expression asks for that is not there."""
    seen: set[str] = set()
    groupings = [label for group in _GROUPING.findall(expression) for label in _words(group)]
    plain = _GROUPING.sub(" ", re.sub(r"\[[^\]]*\]", "", expression))
    for name, matchers, called in _SELECTOR.findall(plain):
        if not name or called or name in _OPERATORS:
            continue
        if name not in known:
            yield f"there is no metric {name}"
            continue
        seen |= set(known[name])
        yield from _of_matchers(name, matchers, known[name])
    yield from (f"no metric here has a label {label}" for label in groupings if label not in seen)


def _of_matchers(name: str, matchers: str, labels: Labels) -> Iterator[str]:
    for label, operator, text in _MATCHER.findall(matchers):
        if label not in labels:
            yield f"{name} has no label {label}"
            continue
        values = labels[label]
        wanted = set(text.split("|")) if operator in ("=~", "!~") else {text}
        if values is not None and (unknown := wanted - values):
            yield f"{label} of {name} is never {', '.join(sorted(unknown))}"


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
