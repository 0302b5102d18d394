"""The commands: each asks the daemon or reads the configuration, and prints.

Data goes to stdout, talk to stderr. Exit codes: 0 good, 1 failed, 2 usage or bad configuration,
3 degraded. Modules are imported where they are used: `havrrpd status` must start fast.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, NoReturn

import click

from havrrpd import __version__
from havrrpd.client import DEFAULT_SOCKET, Client, NoAnswerError, RefusedError
from havrrpd.lab.commands import lab

if TYPE_CHECKING:
    from havrrpd.config import Config

FAILED, BAD_CONFIG, DEGRADED = 1, 2, 3

_STATE_COLOURS = {"MASTER": "green", "FAULT": "red", "STOPPED": "red", "INIT": "yellow"}
_LEVEL_COLOURS = {"fail": "red", "warn": "yellow", "unknown": "magenta", "note": "blue"}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="havrrpd")
@click.option(
    "--socket",
    "socket_path",
    envvar="HAVRRPD_SOCKET",
    default=DEFAULT_SOCKET,
    show_default=True,
    help="The daemon's Unix socket (or HAVRRPD_SOCKET).",
)
@click.pass_context
def cli(context: click.Context, socket_path: str) -> None:
    """Supervise keepalived's virtual routers on this node."""
    context.obj = Client(socket_path)
    context.meta["socket"] = socket_path


_config_option = click.option("--config", "path", help="The configuration file.")


@cli.command()
@_config_option
def run(path: str | None) -> None:
    """Run the daemon."""
    from havrrpd import daemon

    try:
        sys.exit(daemon.run(path))
    except OSError as error:
        _fail(str(error))


@cli.command()
@click.argument("router", required=False)
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table")
@click.pass_obj
def status(client: Client, router: str | None, output: str) -> None:
    """Show this node's routers, or one. Exits with 3 when something is wrong with one."""
    from havrrpd.table import is_degraded, summary, table

    shown = client.status() if router is None else client.router(router)
    routers = shown["routers"] if router is None else [shown]
    if output == "json":
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    else:
        unprotected = shown["unprotected"] if router is None else []
        click.echo(_coloured(table(routers, unprotected=unprotected)), color=_colour())
        if router is None:
            click.echo(summary(shown), err=True)
    sys.exit(DEGRADED if is_degraded(routers) else 0)


@cli.command()
@click.argument("router")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
@click.pass_obj
def explain(client: Client, router: str, output: str) -> None:
    """Say why this node is or is not MASTER of ROUTER, and what comes next."""
    from havrrpd.table import is_degraded

    shown = client.router(router)
    if output == "json":
        said = {"router": shown["router"], "explanation": shown["explanation"]}
        click.echo(json.dumps(said, indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(shown["explanation"]))
    sys.exit(DEGRADED if is_degraded([shown]) else 0)


@cli.command()
@click.argument("router", required=False)
@click.option(
    "-n", "limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="At most."
)
@click.option("-v", "--evidence", is_flag=True, help="Also what each witness said last, and when.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table")
@click.pass_obj
def history(client: Client, router: str | None, limit: int, evidence: bool, output: str) -> None:
    """Show the last transitions of this node's routers, or of one, with their causes."""
    from havrrpd.history_table import history_table

    shown = client.history(limit, router)
    if output == "json":
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    elif shown["transitions"]:
        text = history_table(shown["transitions"], evidence=evidence)
        click.echo(_coloured(text), color=_colour())
    else:
        click.echo("no transitions yet", err=True)


@cli.command()
@click.argument("router")
@click.option("--wait", is_flag=True, help="Return when another node is MASTER.")
@click.pass_obj
def failover(client: Client, router: str, wait: bool) -> None:
    """Give ROUTER to another node."""
    from havrrpd.waiting import wait_for_failover

    client.failover(router)
    if not wait:
        click.echo(f"{router}: resigning", err=True)
        return
    outcome = wait_for_failover(lambda: client.router(router))
    click.echo(f"{router}: {outcome.text}", err=not outcome.good)
    sys.exit(0 if outcome.good else FAILED)


@cli.command()
@click.option("--wait", is_flag=True, help="Return when no router is MASTER here.")
@click.pass_obj
def drain(client: Client, wait: bool) -> None:
    """Give every router away, and take none until undrain."""
    from havrrpd.waiting import wait_for_drain

    client.drain()
    if not wait:
        click.echo("draining", err=True)
        return
    outcome = wait_for_drain(client.status)
    click.echo(outcome.text, err=not outcome.good)
    sys.exit(0 if outcome.good else FAILED)


@cli.command()
@click.pass_obj
def undrain(client: Client) -> None:
    """Take part in elections again."""
    client.undrain()
    click.echo("no longer draining", err=True)


@cli.command()
@click.pass_obj
def reload(client: Client) -> None:
    """Make the daemon read its configuration again: whole, or not at all."""
    client.reload()
    click.echo("configuration reloaded", err=True)


@cli.command()
@_config_option
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table")
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
        click.echo(_levels_coloured(examined.table()), color=_colour())
    click.echo(examined.summary(), err=True)
    sys.exit(examined.exit_code)


@cli.group()
def config() -> None:
    """Check and show the configuration."""


@config.command("check")
@click.argument("file")
def config_check(file: str) -> None:
    """Name every problem of FILE. Exits with 2 when there is one."""
    _load(file)
    click.echo(f"{file}: good", err=True)


@config.command("show")
@_config_option
def config_show(path: str | None) -> None:
    """Print the configuration that holds, defaults included."""
    from havrrpd.config import dump

    click.echo(dump(_load(path)))


@config.command("hash-password")
def config_hash_password() -> None:
    """Print a hash for basic_auth_users. Asks for the password, or reads a line of stdin."""
    from havrrpd.views.web.users import hashed

    if sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        password = sys.stdin.readline().rstrip("\n")
    try:
        click.echo(hashed(password))
    except ValueError as error:
        _fail(str(error), BAD_CONFIG)


@cli.group()
def keepalived() -> None:
    """What keepalived must be told."""


@keepalived.command("stanza")
@click.argument("router", required=False)
@_config_option
@click.pass_obj
def keepalived_stanza(client: Client, router: str | None, path: str | None) -> None:
    """Print the lines that ROUTER's keepalived configuration needs."""
    from havrrpd.stanza import for_router, generic

    paths = _load(path).paths
    if router is None:
        click.echo(generic(paths.notify_dir, paths.lever_dir), nl=False)
        return
    try:
        text = for_router(paths.notify_dir, paths.lever_dir, client.router(router))
    except (NoAnswerError, RefusedError) as error:
        click.echo(f"havrrpd: {error}; the names of its instances are left to you", err=True)
        text = generic(paths.notify_dir, paths.lever_dir, router)
    click.echo(text, nl=False)


cli.add_command(lab)


def main() -> NoReturn:
    """The entry point: what goes wrong as it must becomes one sentence and an exit code."""
    try:
        cli(prog_name="havrrpd")
    except RefusedError as error:
        _fail(str(error), BAD_CONFIG if error.status == 422 else FAILED)
    except NoAnswerError as error:
        _fail(str(error))
    except Exception as error:
        if _is(error, "havrrpd.config", "ConfigError"):
            _fail(str(error), BAD_CONFIG)
        if _is(error, "havrrpd.lab.waiting", "LabError"):
            _fail(str(error))
        raise
    sys.exit(0)


def _is(error: Exception, module: str, name: str) -> bool:
    loaded = sys.modules.get(module)  # not imported: then nobody raised it
    return loaded is not None and isinstance(error, getattr(loaded, name))


def _load(path: str | None) -> Config:
    from havrrpd.config import load

    return load(path)


def _fail(text: str, code: int = FAILED) -> NoReturn:
    for line in text.splitlines():
        click.echo(f"havrrpd: {line}", err=True)
    sys.exit(code)


def _colour() -> bool | None:
    """None: only on a terminal. NO_COLOR, no-color.org: any value but the empty one."""
    return False if os.environ.get("NO_COLOR") else None


def _coloured(text: str) -> str:
    """The states of a table in their colours, its widths as they are."""
    for state, colour in _STATE_COLOURS.items():
        text = text.replace(f"  {state} ", f"  {click.style(state, fg=colour)} ")
    return text


def _levels_coloured(text: str) -> str:
    """The first word of each line of the doctor's table."""
    lines = []
    for line in text.splitlines():
        level, _, rest = line.partition(" ")
        colour = _LEVEL_COLOURS.get(level)
        lines.append(f"{click.style(level, fg=colour)} {rest}" if colour else line)
    return "\n".join(lines)
