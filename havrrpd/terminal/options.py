"""What several commands have in common: their options, their examples, how they print."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import click

from havrrpd.client import DEFAULT_SOCKET, Client

FAILED, BAD_CONFIG, DEGRADED = 1, 2, 3  # exit codes

Command = Callable[..., Any]


def examples(*lines: str) -> str:
    """An epilog: click keeps the lines behind a \\b as they are."""
    return "\b\n" + "\n".join(("Examples:", *(f"  {line}" for line in lines)))


def output(*formats: str) -> Callable[[Command], Command]:
    """-o; the first format is the default."""
    kinds, text = click.Choice(formats), "How to print it."
    return click.option(
        "-o", "--output", type=kinds, default=formats[0], show_default=True, help=text
    )


def _router_names(context: click.Context, _argument: click.Parameter, begun: str) -> list[str]:
    """For completion: what the daemon knows, and nothing where it does not answer."""
    from havrrpd.naming import beginning

    path = context.find_root().params.get("socket_path") or DEFAULT_SOCKET
    return beginning(Client(path, timeout=1.0), begun)


router = click.argument("router", shell_complete=_router_names)
any_router = click.argument("router", required=False, shell_complete=_router_names)
config = click.option(
    "--config",
    "path",
    type=click.Path(),
    metavar="FILE",
    help="The configuration file; else /etc/havrrpd/havrrpd.toml, if there is one.",
)


def show(lines: Iterable[str]) -> None:
    """On stdout, with colours where they are wanted."""
    from havrrpd.terminal.colours import wanted

    click.echo("\n".join(lines), color=wanted(sys.stdout))


def show_json(document: object) -> None:
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def width() -> int | None:
    """How wide the terminal is; None: there is none, so nothing is left out."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def fail(text: str, code: int = FAILED) -> NoReturn:
    """Say it on stderr and end."""
    for line in text.splitlines():
        click.echo(f"havrrpd: {line}", err=True)
    sys.exit(code)
