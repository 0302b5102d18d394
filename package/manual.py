"""The man pages and the shell completion, made from the commands and from config/havrrpd.toml.

`make manual` writes them to package/man and package/completion. They are in the repository, so
that `pip install .` finds them; a test says when they are not current.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from havrrpd import __version__
from havrrpd.cli import cli

HERE = Path(__file__).parent
CONFIG = HERE.parent / "config" / "havrrpd.toml"

_AFTER_THE_COMMANDS = """\
.SH EXIT STATUS
.TP
.B 0
Good.
.TP
.B 1
Failed.
.TP
.B 2
Wrong usage, or a bad configuration.
.TP
.B 3
Degraded: something is wrong with a router, or the doctor found something wrong.
.SH ENVIRONMENT
.TP
.B HAVRRPD_SOCKET
The daemon's Unix socket, as \\-\\-socket.
.TP
.B NO_COLOR
Any value but the empty one: no colours.
.SH FILES
.TP
.I /etc/havrrpd/havrrpd.toml
The configuration, havrrpd.toml(5). Without it all defaults hold.
.TP
.I /run/havrrpd/notify, /run/havrrpd/levers
Where keepalived and havrrpd meet. They have to be there before keepalived starts.
.TP
.I /var/lib/havrrpd
Whether the node is drained, and its history.
.SH SEE ALSO
havrrpd.toml(5), keepalived(8), keepalived.conf(5)
"""


def files() -> dict[Path, str]:
    """Every generated file and what belongs in it."""
    completion = HERE / "completion"
    return {
        HERE / "man" / "havrrpd.1": command_page(),
        HERE / "man" / "havrrpd.toml.5": config_page(CONFIG.read_text()),
        completion / "havrrpd": _completion("bash"),  # the names under which the shells look
        completion / "_havrrpd": _completion("zsh"),
        completion / "havrrpd.fish": _completion("fish"),
    }


def command_page() -> str:
    """havrrpd(1): all commands on one page."""
    context = click.Context(cli, info_name="havrrpd", **cli.context_settings)
    said, *more = _paragraphs(cli)
    lines = [
        _title("havrrpd", 1),
        ".SH NAME",
        f"havrrpd \\- {_escaped(said[:1].lower() + said[1:].rstrip('.'))}",
        ".SH SYNOPSIS",
        f".B {_escaped(_usage(context))}",
        ".SH DESCRIPTION",
        *_set(more),
        *_examples(cli),
        ".SH OPTIONS",
        *_options(context),
        ".TP",
        f".B {_escaped(', '.join(context.help_option_names))}",
        "Show the help of havrrpd, or of the command that it stands behind.",
        ".SH COMMANDS",
        *_commands(context),
    ]
    return "\n".join(lines) + "\n" + _AFTER_THE_COMMANDS


def config_page(text: str) -> str:
    """havrrpd.toml(5), from a file of tables and keys with their comments.

    A comment stands right before the table or the keys that it describes; `#key = value` is a key
    with its default; a comment that is indented by five blanks is an example.
    """
    lines = [_title("havrrpd.toml", 5), ".SH NAME", "havrrpd.toml \\- configuration of havrrpd"]
    lines.append(".SH DESCRIPTION")
    words: Sequence[str] = ()
    for kind, run in groupby(map(_read, text.splitlines()), key=lambda line: line[0]):
        content = [line[1] for line in run]
        if kind == "words":
            words = content
            continue
        lines += _around(kind, content, words)
        words = ()
    return "\n".join([*lines, *_prose(words), ".SH SEE ALSO", "havrrpd(1)"]) + "\n"


def main() -> None:
    for path, text in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


# --- havrrpd(1) ---


def _commands(context: click.Context) -> Iterator[str]:
    group = context.command
    assert isinstance(group, click.Group)
    for name, command in group.commands.items():
        inner = click.Context(command, info_name=name, parent=context)
        if isinstance(command, click.Group):
            yield from _commands(inner)
            continue
        yield f'.SS "{_escaped(_usage(inner))}"'
        yield from _set(_paragraphs(command))
        yield from _examples(command)
        yield from _options(inner)


def _paragraphs(command: click.Command) -> list[str]:
    return [" ".join(each.split()) for each in (command.help or "").split("\n\n")]


def _set(paragraphs: Sequence[str]) -> Iterator[str]:
    for each in paragraphs:
        yield from (".PP", _escaped(each))


def _examples(command: click.Command) -> Iterator[str]:
    """The epilog: a mark for click, a heading, then commands."""
    _, _, lines = (command.epilog or "").partition("Examples:\n")
    if lines:
        commands = (_escaped(line.strip()) for line in lines.splitlines())
        yield from (".PP", ".RS", ".EX", *commands, ".EE", ".RE")


def _usage(context: click.Context) -> str:
    return " ".join([context.command_path, *context.command.collect_usage_pieces(context)])


def _options(context: click.Context) -> Iterator[str]:
    """But for --help, which they all have."""
    for parameter in context.command.params:
        record = parameter.get_help_record(context)
        if isinstance(parameter, click.Option) and record is not None:
            yield from (".TP", f".B {_escaped(record[0])}")
            if record[1]:
                yield _escaped(record[1])


# --- havrrpd.toml(5) ---


def _read(line: str) -> tuple[str, str]:
    """What a line is, and what it says."""
    if found := re.fullmatch(r"#?([a-z_]+ = .*)", line):
        return "keys", found[1]
    if line.startswith("["):
        return "table", line
    if line.startswith("#     "):
        return "example", line[6:]
    if line.startswith("# "):
        return "words", line[2:]
    return "gap", ""


def _around(kind: str, content: Sequence[str], words: Sequence[str]) -> Iterator[str]:
    """A table, keys, an example or a gap, and the words that stand right before it."""
    if kind == "table":
        yield f'.SH "{_escaped(content[0])}"'
    if kind == "keys":
        for number, key in enumerate(content):
            yield from (".TQ" if number else ".TP", f".B {_escaped(key)}")
        yield _escaped(" ".join(words))
        return
    yield from _prose(words)
    if kind == "example":
        yield from (".PP", ".RS", ".EX", *map(_escaped, content), ".EE", ".RE")


def _prose(words: Sequence[str]) -> Iterator[str]:
    text = " ".join(words)
    if found := re.match(r"Tables (\[\[\w+\]\])", text):
        yield f'.SH "{_escaped(found[1])}"'
    if text:
        yield from (".PP", _escaped(text))


# --- both, and the shells ---


def _title(name: str, section: int) -> str:
    return f'.TH {name} {section} "" "havrrpd {__version__}"'


def _escaped(text: str) -> str:
    """For groff_man(7): a hyphen that can be copied, no line taken for a macro."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    return f"\\&{text}" if text.startswith((".", "'")) else text


def _completion(shell: str) -> str:
    made = get_completion_class(shell)
    assert made is not None
    return made(cli, {}, "havrrpd", "_HAVRRPD_COMPLETE").source()


if __name__ == "__main__":
    main()
