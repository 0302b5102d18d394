"""`havrrpd lab`: the reference architecture on this machine, from the command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from havrrpd.terminal import options

if TYPE_CHECKING:
    from havrrpd.lab.lab import Lab

DEGRADED = 3
ALL = "all"  # nodes, for a gateway

_WHAT = ("gateway", "overlay", "node", "keepalived", "havrrpd")  # can break on a node


@click.group(
    epilog=options.examples(
        "havrrpd lab up",
        "havrrpd lab status",
        "havrrpd lab break gateway network1",
        "havrrpd lab down",
    )
)
def lab() -> None:
    """Several nodes on this machine, with real keepalived, to try and to test. Needs root."""


@lab.command(
    epilog=options.examples(
        "havrrpd lab up                              # three nodes, two projects, a router each",
        "havrrpd lab up --nodes 5 --routers 12",
        "havrrpd lab up --neutron                    # keepalived as Neutron configures it",
        "havrrpd lab up -o json | jq -r .network1    # where the page of a node is",
    )
)
@click.option("--nodes", type=click.IntRange(1, 63), default=3, show_default=True)
@click.option(
    "--routers",
    type=click.IntRange(1, 230),
    default=1,
    show_default=True,
    help="In all, and at least one for each of the two projects.",
)
@click.option("--base-priority", type=click.IntRange(1, 254), help="150, or with --neutron 50.")
@click.option(
    "--delay-ms", type=click.FloatRange(0, 1000), default=0, help="Of the overlay, one way."
)
@click.option("--neutron", is_flag=True, help="keepalived.conf as Neutron's: no FIFO, no lever.")
@options.output("table", "json")
def up(
    *,
    nodes: int,
    routers: int,
    base_priority: int | None,
    delay_ms: float,
    neutron: bool,
    output: str,
) -> None:
    """Build the lab, start everything, and print where each page is."""
    from havrrpd.lab import store
    from havrrpd.lab.plan import NEUTRON, whole

    differs: dict[str, Any] = {"nodes": nodes, "routers": routers, "delay": delay_ms / 1000}
    differs |= NEUTRON if neutron else {}
    differs |= {} if base_priority is None else {"base_priority": base_priority}
    plan = whole(**differs)
    store.up(plan, lambda line: click.echo(f"building {line} ...", err=True))
    click.echo("up. `havrrpd lab status` shows the routers.", err=True)
    if output == "json":
        options.show_json(store.pages())
    else:
        options.show(f"{name}  {url}" for name, url in store.pages().items())


@lab.command(epilog=options.examples("havrrpd lab status", "havrrpd lab status -o json"))
@options.output("table", "json")
def status(output: str) -> None:
    """Show every router on every node. Exits with 3 when something is wrong."""
    from havrrpd.lab import store
    from havrrpd.lab.table import is_degraded, statuses, table

    seen = statuses(store.opened())
    if output == "json":
        options.show_json(seen)
    else:
        from rich.console import Console

        Console(width=None if sys.stdout.isatty() else 160).print(table(seen))
    sys.exit(DEGRADED if is_degraded(seen) else 0)


@lab.command(
    "break",
    epilog=options.examples(
        "havrrpd lab break gateway network1          # for this node only",
        "havrrpd lab break gateway all",
        "havrrpd lab break node network2             # it dies, with everything on it",
        "havrrpd lab break keepalived network3       # kill -9",
    ),
)
@click.argument("what", type=click.Choice(_WHAT))
@click.argument("node")
def break_(what: str, node: str) -> None:
    """Break WHAT for NODE; the gateway also for `all`."""
    _change("break", what, node)
    click.echo(f"{node}: {what} is broken", err=True)


@lab.command(
    epilog=options.examples(
        "havrrpd lab heal gateway all", "havrrpd lab heal node network2   # built anew"
    )
)
@click.argument("what", type=click.Choice(_WHAT))
@click.argument("node")
def heal(what: str, node: str) -> None:
    """Mend WHAT for NODE again."""
    _change("heal", what, node)
    click.echo(f"{node}: {what} is healed", err=True)


@lab.command(
    "exec",
    context_settings={"ignore_unknown_options": True},
    epilog=options.examples(
        "havrrpd lab exec network1 -- havrrpd status --watch",
        "havrrpd lab exec compute1 -- ip address",
    ),
)
@click.argument("node")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def exec_(node: str, command: tuple[str, ...]) -> None:
    """Run a command on NODE, as if logged in there."""
    from havrrpd.lab import store

    argv = store.opened().any_node(node).enter(command)
    path = f"{os.path.dirname(sys.executable)}:{os.environ.get('PATH', '')}"
    os.execvpe(argv[0], argv, {**os.environ, "PATH": path})


@lab.command(epilog=options.examples("havrrpd lab verify", "havrrpd lab verify -o json"))
@options.output("table", "json")
def verify(output: str) -> None:
    """Try the whole architecture, step by step. Exits with 0 only if everything holds."""
    from havrrpd.lab import store
    from havrrpd.lab.verify import verify as run

    with store.changed() as running:
        results = run(running, lambda line: click.echo(line, err=output == "json"))
    if output == "json":
        options.show_json([result.as_json() for result in results])
    sys.exit(0 if all(result.holds for result in results) else 1)


@lab.command(epilog=options.examples("havrrpd lab down"))
def down() -> None:
    """Take everything down, also what a crash left."""
    from havrrpd.lab import store

    there = store.down()
    click.echo("down" if there else "there is no lab", err=True)


def _change(verb: str, what: str, node: str) -> None:
    from havrrpd.lab import store

    with store.changed() as running:
        if (what, node) != ("gateway", ALL) and (verb, what) != ("heal", "node"):
            running.living(node)  # or LabError
        _changes(running, None if node == ALL else node)[verb, what]()


def _changes(running: Lab, node: str | None) -> dict[tuple[str, str], Callable[[], None]]:
    """How each thing breaks, and how it is mended. No node: all of them."""
    from havrrpd.lab.network import Network

    name = node or ALL
    return {
        ("break", "gateway"): lambda: running.break_gateway(node),
        ("heal", "gateway"): lambda: running.heal_gateway(node),
        ("break", "overlay"): lambda: running.unplug(Network.OVERLAY, name),
        ("heal", "overlay"): lambda: running.plug(Network.OVERLAY, name),
        ("break", "node"): lambda: running.kill_node(name),
        ("heal", "node"): lambda: running.rebuild_node(name),
        ("break", "keepalived"): lambda: running.kill_keepalived(name),
        ("heal", "keepalived"): lambda: running.restart_keepalived(name),
        ("break", "havrrpd"): lambda: running.kill_havrrpd(name),
        ("heal", "havrrpd"): lambda: running.restart_havrrpd(name),
    }
