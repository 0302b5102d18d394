"""havrrpd in the lab: its configuration as text, the directories it needs, and its start."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path

import havrrpd
from havrrpd.lab.keepalived import LEVER_DIR, NOTIFY_DIR
from havrrpd.lab.node import Node
from havrrpd.lab.plan import Plan
from havrrpd.lab.process import Process

CONFIG = "/run/havrrpd/havrrpd.toml"
PORT = 9912

# Prometheus asks over the management network, which is the lab's own.
_WHOLE = f"""
[web]
listen = "0.0.0.0:{PORT}"
allow_public = true
"""


def configuration(node: str, plan: Plan) -> str:
    """The node's havrrpd.toml."""
    health_check = {"interval": plan.health_interval, **plan.health_check}
    keys = "\n".join(f"{key} = {json.dumps(value)}" for key, value in health_check.items())
    return f"""[node]
name = "{node}"

[health_check]
{keys}

[paths]
state_dir = "/run/havrrpd/state"
{_WHOLE if plan.whole else ""}
{plan.havrrpd_config}"""


def prepare(node: Node, routers: Iterable[str]) -> None:
    """What tmpfiles.d does on a real node, and the FIFOs of these routers, by their ids.

    They must be there before keepalived.
    """
    for directory in (NOTIFY_DIR, LEVER_DIR, "/run/havrrpd/state"):
        node.path(directory).mkdir(parents=True, mode=0o750, exist_ok=True)
    for router in routers:
        os.mkfifo(node.path(f"{NOTIFY_DIR}/{router}"), 0o600)


def start(node: Node, plan: Plan) -> Process:
    """Start it as systemd would."""
    node.path(CONFIG).write_text(configuration(node.name, plan))
    source = str(Path(havrrpd.__file__).parents[1])
    return node.start(
        [sys.executable, "-m", "havrrpd", "run", "--config", CONFIG],
        log=f"{node.name}-havrrpd.log",
        environment={"PYTHONPATH": source},
    )
