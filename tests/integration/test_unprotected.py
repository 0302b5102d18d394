"""A router's namespace without keepalived, on a node of the lab."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from havrrpd.lab import keepalived, overlay
from havrrpd.lab.overlay import project_segment
from havrrpd.lab.router import Router, make_script
from havrrpd.lab.waiting import wait_until
from tests.integration.watched import Watched, watched

pytestmark = pytest.mark.root

NODE = "network1"
INTERVAL = 0.5
SHOWN = 3 * INTERVAL + 5.0  # seconds: by the third scan, on a busy machine
DISCOVERY = f"[discovery]\ninterval = {INTERVAL}\n"


def test_a_namespace_without_keepalived_is_shown_until_one_runs_in_it() -> None:
    with watched(nodes=1, more=DISCOVERY) as seen:
        node, bare, protected = seen.lab.node(NODE), Router(2, vrid=2), Router(3, vrid=3)
        shown = [{"router": bare.id, "namespace": bare.namespace}]
        for router in (bare, protected):
            network = overlay.make_script([project_segment(router.number)], 1, ())
            node.shell(network + make_script(router, 1))
        keepalived.start(node, protected, seen.lab.plan.vrrp)
        wait_until(lambda: _unprotected(seen) == shown, SHOWN, "one router without protection")
        document = json.loads(seen.havrrpd(NODE, "status", "-o", "json"))
        assert document["summary"]["unprotected"] == 1
        assert {router["router"] for router in document["routers"]} == {
            seen.lab.routers[0].id,
            protected.id,
        }
        last = node.shell(f"{sys.executable} -m havrrpd status || true").splitlines()[-1]
        assert last.split(maxsplit=9) == [bare.id, *"--------", "not protected"]

        started = keepalived.start(node, bare, seen.lab.plan.vrrp)
        wait_until(lambda: _unprotected(seen) == [], SHOWN, "none, as keepalived runs")
        started.kill()
        wait_until(lambda: _state(seen, bare) == "STOPPED", SHOWN, "a router that is stopped")
        assert _unprotected(seen) == []


def test_a_namespace_that_goes_is_no_longer_shown() -> None:
    with watched(nodes=1, more=DISCOVERY) as seen:
        namespace = f"snat-{Router(2).id}"
        seen.lab.node(NODE).shell(f"ip netns add {namespace}; ip netns add qdhcp-{Router(2).id}")
        shown = [{"router": Router(2).id, "namespace": namespace}]
        wait_until(lambda: _unprotected(seen) == shown, SHOWN, "one router without protection")
        seen.lab.node(NODE).shell(f"ip netns delete {namespace}")
        wait_until(lambda: _unprotected(seen) == [], SHOWN, "none")


def _unprotected(seen: Watched) -> list[Any] | None:
    unprotected: list[Any] = seen.lab.node(NODE).status()["unprotected"]
    return unprotected


def _state(seen: Watched, router: Router) -> str | None:
    states = {r["router"]: str(r["state"]) for r in seen.lab.node(NODE).status()["routers"]}
    return states.get(router.id)
