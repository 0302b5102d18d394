"""`havrrpd config` and `havrrpd keepalived`: what is configured, and what has to be."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from havrrpd import naming
from havrrpd.client import Client, NoAnswerError, RefusedError
from havrrpd.terminal import options

if TYPE_CHECKING:
    from havrrpd.config import Config


@click.group()
def config() -> None:
    """Check and show the configuration."""


@config.command("check", epilog=options.examples("havrrpd config check /etc/havrrpd/havrrpd.toml"))
@click.argument("file", type=click.Path())
def config_check(file: str) -> None:
    """Name every problem of FILE. Exits with 2 when there is one."""
    _load(file)
    click.echo(f"{file}: good", err=True)


@config.command(
    "show",
    epilog=options.examples(
        "havrrpd config show",
        "havrrpd config show --config ./havrrpd.toml",
        "havrrpd config show -o json | jq .health_check",
    ),
)
@options.config
@options.output("toml", "json")
def config_show(path: str | None, output: str) -> None:
    """Print the configuration in a file, defaults included.

    Whoever may read the file sees the hashes of passwords too.
    """
    from havrrpd.config import dump

    text = dump(_load(path))
    if output == "json":
        import tomllib

        options.show_json(tomllib.loads(text))
    else:
        click.echo(text)


@config.command(
    "hash-password",
    epilog=options.examples(
        "havrrpd config hash-password",
        "havrrpd config hash-password <password.txt",
    ),
)
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
        options.fail(str(error), options.BAD_CONFIG)


@click.group()
def keepalived() -> None:
    """What keepalived must be told."""


@keepalived.command(
    "stanza",
    epilog=options.examples("havrrpd keepalived stanza", "havrrpd keepalived stanza 3f2a"),
)
@options.any_router
@options.config
@click.pass_obj
def keepalived_stanza(client: Client, router: str | None, path: str | None) -> None:
    """Print the lines that ROUTER's keepalived configuration needs.

    Without ROUTER, or without a daemon that knows it, the names are left to you.
    """
    from havrrpd.stanza import for_router, generic

    paths = _load(path).paths
    if router is None:
        click.echo(generic(paths.notify_dir, paths.lever_dir), nl=False)
        return
    try:
        text = for_router(paths.notify_dir, paths.lever_dir, naming.router(client, router))
    except (NoAnswerError, RefusedError) as error:
        if isinstance(error, RefusedError) and error.status == naming.AMBIGUOUS:
            raise
        click.echo(f"havrrpd: {error}; the names of its instances are left to you", err=True)
        text = generic(paths.notify_dir, paths.lever_dir, router)
    click.echo(text, nl=False)


def _load(path: str | None) -> Config:
    from havrrpd.config import load

    return load(path)
