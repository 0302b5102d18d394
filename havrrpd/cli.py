"""The commands: each asks the daemon or reads the configuration, and prints.

Data goes to stdout, talk to stderr. Exit codes: 0 good, 1 failed, 2 usage or bad configuration,
3 degraded. Modules are imported where they are used: `havrrpd status` must start fast.
"""

from __future__ import annotations

import sys
from typing import Any, NoReturn

import click

from havrrpd import __version__, naming
from havrrpd.client import DEFAULT_SOCKET, Client, NoAnswerError, RefusedError
from havrrpd.config_commands import config, keepalived
from havrrpd.lab.commands import lab
from havrrpd.terminal import options
from havrrpd.terminal.options import BAD_CONFIG, DEGRADED, FAILED


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=options.examples(
        "havrrpd status            # the routers of this node, and what is wrong with them",
        "havrrpd explain 3f2a      # why this node is or is not MASTER of one",
        "havrrpd doctor            # what is missing on this node, and what mends it",
    ),
)
@click.version_option(__version__, prog_name="havrrpd")
@click.option(
    "--socket",
    "socket_path",
    envvar="HAVRRPD_SOCKET",
    default=DEFAULT_SOCKET,
    show_default=True,
    type=click.Path(readable=False),
    metavar="PATH",
    help="The daemon's Unix socket (or HAVRRPD_SOCKET).",
)
@click.pass_context
def cli(context: click.Context, socket_path: str) -> None:
    """Supervise keepalived's virtual routers on this node.

    ROUTER is the id of a router, the name of its namespace, or how one of them begins, if no other
    begins so.

    Exit codes: 0 good, 1 failed, 2 wrong usage or a bad configuration, 3 something is wrong with a
    router. Colours: NO_COLOR=1 for none, FORCE_COLOR=1 also where there is no terminal.
    """
    context.obj = Client(socket_path)
    context.meta["socket"] = socket_path


@cli.command(
    epilog=options.examples(
        "systemctl start havrrpd                     # as it is meant to be run",
        "havrrpd run                                 # in the foreground, Ctrl-C ends it",
        "havrrpd run --config ./havrrpd.toml",
    )
)
@options.config
def run(path: str | None) -> None:
    """Run the daemon. Stopping it moves no router."""
    from havrrpd import daemon

    try:
        sys.exit(daemon.run(path))
    except OSError as error:
        options.fail(str(error))


@cli.command(
    epilog=options.examples(
        "havrrpd status",
        "havrrpd status 3f2a                         # one router, by how its id begins",
        "havrrpd status --watch                      # until q or Ctrl-C",
        "havrrpd status -o json | jq .summary",
        "havrrpd status >/dev/null || echo trouble   # 3: something is wrong with a router",
    )
)
@options.any_router
@options.output("table", "json")
@click.option(
    "--watch",
    is_flag=True,
    help="Show what changes, as it changes. Without a terminal, or as JSON, only changes are "
    "printed. It also waits for a daemon that does not answer.",
)
@click.pass_obj
def status(client: Client, router: str | None, output: str, watch: bool) -> None:
    """Show this node's routers, or one.

    A line for each VRRP instance. The columns are as many as fit into the terminal, and the whole
    ids appear where there is room for them. PRIORITY is the effective one, and what is configured
    where that differs. A state is green while the router serves and nothing is wrong, yellow on
    its way or with a problem, red when it is down. Exits with 3 when something is wrong with a
    router; --watch, ended by hand, with 0.
    """
    from havrrpd.terminal import watching
    from havrrpd.terminal.table import is_degraded, table

    def ask(of: Client) -> watching.Answer:
        if router is None:
            return watching.Answer.of_node(of.status())
        return watching.Answer.of_router(naming.router(of, router))

    if watch:
        hasty = Client(client.path, watching.PATIENCE)
        watching.watch(lambda: ask(hasty), as_json=output == "json")
        return
    shown = ask(client)
    if output == "json":
        options.show_json(shown.whole)
    else:
        lines = table(shown.routers, unprotected=shown.unprotected, width=options.width())
        options.show(lines)
        if router is None:
            click.echo(shown.head, err=True)
    sys.exit(DEGRADED if is_degraded(shown.routers) else 0)


@cli.command(epilog=options.examples("havrrpd explain 3f2a", "havrrpd explain 3f2a -o json"))
@options.router
@options.output("text", "json")
@click.pass_obj
def explain(client: Client, router: str, output: str) -> None:
    """Say why this node is or is not MASTER of ROUTER, and what comes next.

    Exits with 3 when something is wrong with it.
    """
    from havrrpd.terminal.table import is_degraded

    shown = naming.router(client, router)
    if output == "json":
        options.show_json({"router": shown["router"], "explanation": shown["explanation"]})
    else:
        click.echo("\n".join(shown["explanation"]))
    sys.exit(DEGRADED if is_degraded([shown]) else 0)


@cli.command(
    epilog=options.examples(
        "havrrpd history                             # the newest first",
        "havrrpd history 3f2a -v -n 5                # with what each witness said",
        "havrrpd history -o json | jq '.transitions[0].cause'",
    )
)
@options.any_router
@click.option(
    "-n", "limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="At most."
)
@click.option("-v", "--evidence", is_flag=True, help="Also what each witness said last, and when.")
@options.output("table", "json")
@click.pass_obj
def history(client: Client, router: str | None, limit: int, evidence: bool, output: str) -> None:
    """Show the last transitions of this node's routers, or of one, with their causes.

    A router that is gone has its history under its whole id.
    """
    from havrrpd.terminal.history import history_table

    def ask(name: str | None) -> dict[str, Any]:
        return client.history(limit, name)

    shown = ask(None) if router is None else naming.ask_of(client, router, ask)
    if output == "json":
        options.show_json(shown)
    elif shown["transitions"]:
        options.show(history_table(shown["transitions"], evidence=evidence))
    else:
        click.echo("no transitions yet", err=True)


@cli.command(
    epilog=options.examples(
        "havrrpd failover 3f2a",
        "havrrpd failover 3f2a --wait                # 0: another node is MASTER, 1: none is",
    )
)
@options.router
@click.option("--wait", is_flag=True, help="Return when another node is MASTER.")
@click.pass_obj
def failover(client: Client, router: str, wait: bool) -> None:
    """Give ROUTER to another node.

    This node gives the role up, and VRRP elects the next MASTER among the others. Refused where
    this node is not MASTER, or has no lever.
    """
    from havrrpd.waiting import wait_for_failover

    name = naming.name(client, router)
    client.failover(name)
    if not wait:
        click.echo(f"{name}: resigning", err=True)
        return
    outcome = wait_for_failover(lambda: client.router(name))
    click.echo(f"{name}: {outcome.text}", err=not outcome.good)
    sys.exit(0 if outcome.good else FAILED)


@cli.command(
    epilog=options.examples(
        "havrrpd drain --wait && systemctl restart keepalived",
        "havrrpd undrain                             # afterwards",
    )
)
@click.option("--wait", is_flag=True, help="Return when no router is MASTER here.")
@click.pass_obj
def drain(client: Client, wait: bool) -> None:
    """Give every router away, and take none until undrain.

    It is kept over a restart of havrrpd and of the node. A router that no other node can take stays
    here; --wait then exits with 1 and names it.
    """
    from havrrpd.waiting import wait_for_drain

    client.drain()
    if not wait:
        click.echo("draining", err=True)
        return
    outcome = wait_for_drain(client.status)
    click.echo(outcome.text, err=not outcome.good)
    sys.exit(0 if outcome.good else FAILED)


@cli.command(epilog=options.examples("havrrpd undrain"))
@click.pass_obj
def undrain(client: Client) -> None:
    """Take part in elections again. With nopreempt no router moves by that."""
    client.undrain()
    click.echo("no longer draining", err=True)


@cli.command(
    epilog=options.examples(
        "havrrpd config check /etc/havrrpd/havrrpd.toml && havrrpd reload",
        "systemctl reload havrrpd",
    )
)
@click.pass_obj
def reload(client: Client) -> None:
    """Make the daemon read its configuration again: whole, or not at all.

    Exits with 2 and names every mistake when there is one; the daemon goes on as before.
    """
    client.reload()
    click.echo("configuration reloaded", err=True)


@cli.command(
    epilog=options.examples(
        "havrrpd doctor",
        "havrrpd doctor --nagios                     # for a monitoring system",
        "havrrpd doctor -o json | jq '.findings[].name'",
    )
)
@options.config
@options.output("table", "json")
@click.option("--nagios", is_flag=True, help="One line and the exit code of a monitoring plugin.")
@click.pass_context
def doctor(context: click.Context, path: str | None, output: str, nagios: bool) -> None:
    """Look for what is wrong on this node, or will be, and say what mends it.

    Exits with 3 when something fails, with 2 when the configuration has a mistake, with 1 when not
    everything could be looked at. It needs root, and no daemon.
    """
    from havrrpd.doctor import command

    source = context.parent and context.parent.get_parameter_source("socket_path")
    given = source is not click.core.ParameterSource.DEFAULT
    socket_path = context.meta["socket"] if given else None
    if nagios:
        code, line = command.nagios(path, socket_path)
        click.echo(line)
        sys.exit(code)
    examined = command.examine_node(path, socket_path)
    if output == "json":
        click.echo(examined.as_json())
    elif examined.findings:
        from havrrpd.terminal.colours import with_levels

        options.show([with_levels(examined.table())])
    click.echo(examined.summary(), err=True)
    sys.exit(examined.exit_code)


cli.add_command(config)
cli.add_command(keepalived)
cli.add_command(lab)


def main() -> NoReturn:
    """The entry point: what goes wrong as it must becomes one sentence and an exit code."""
    try:
        cli(prog_name="havrrpd")
    except RefusedError as error:
        options.fail(str(error), BAD_CONFIG if error.status == 422 else FAILED)
    except NoAnswerError as error:
        options.fail(str(error))
    except Exception as error:
        if _is(error, "havrrpd.config", "ConfigError"):
            options.fail(str(error), BAD_CONFIG)
        if _is(error, "havrrpd.lab.waiting", "LabError"):
            options.fail(str(error))
        raise
    sys.exit(0)


def _is(error: Exception, module: str, name: str) -> bool:
    loaded = sys.modules.get(module)  # not imported: then nobody raised it
    return loaded is not None and isinstance(error, getattr(loaded, name))
