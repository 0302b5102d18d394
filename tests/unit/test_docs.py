"""What the docs name is there: files, headings, commands with their options, metrics, problems."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from havrrpd.cli import cli
from havrrpd.config import parse
from havrrpd.core.model import Cause, Phase, Problem
from havrrpd.views.exposition import Kind
from havrrpd.views.metrics import families

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]

HASH = "$2b$12$" + "." * 53  # for one that is only hinted at

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FENCE = re.compile(r"(?ms)^```.*?^```$")
_LINE = re.compile(r"(?m)^(?:# |\$ )?(?:\S+/)?havrrpd ([a-z].*)$")  # inside a fence
_INLINE = re.compile(r"`(?:\S+/)?havrrpd ([a-z][^`]*)`")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def headings(page: Path) -> set[str]:
    """The anchors of a page, as GitHub makes them."""
    lines = re.findall(r"(?m)^#+ (.*)$", _FENCE.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


def broken_links(page: Path) -> Iterator[str]:
    for link in _LINK.findall(_FENCE.sub("", page.read_text())):
        if link.startswith(("https://", "http://")):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if not target.exists():
            yield f"{link}: no such file"
        elif anchor and anchor not in headings(target):
            yield f"{link}: no such heading"


def commands(page: Path) -> Iterator[str]:
    text = page.read_text()
    inside = "\n".join(_FENCE.findall(text))
    for found in (*_LINE.findall(inside), *_INLINE.findall(_FENCE.sub("", text))):
        yield re.split(r"\s+#|[|;&>…]| && ", found)[0].strip()


def wrong(command: str) -> str | None:
    """What of a command line does not exist; words in capitals stand for something."""
    at: click.Command = cli
    for word in shlex.split(command):
        if word == "--":
            return None
        if word.startswith("-"):
            options = [opt for each in at.params for opt in each.opts]
            if word.strip("[]").split("=")[0] not in (*options, "-h", "--help"):
                return f"{command}: {at.name} has no {word}"
        elif isinstance(at, click.Group):
            if word not in at.commands:
                return f"{command}: {at.name} has no command {word}"
            at = at.commands[word]
    return None


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    assert list(broken_links(page)) == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_is_one(page: Path) -> None:
    assert [said for command in commands(page) if (said := wrong(command))] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_metric_is_one(page: Path) -> None:
    known = {f"{f.name}_total" if f.kind is Kind.COUNTER else f.name for f in families()}
    known |= {f"{f.name}_bucket" for f in families() if f.kind is Kind.HISTOGRAM}
    named = re.findall(r"\bhavrrpd_[a-z_]+[a-z]", page.read_text())
    assert set(named) - known == set()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_configuration_shown_is_good(page: Path) -> None:
    for block in re.findall(r"(?ms)^ *```toml\n(.*?)^ *```$", page.read_text()):
        parse(textwrap.dedent(block).replace("$2b$12$…", HASH), name(page))


def test_the_concepts_explain_every_problem_cause_and_phase() -> None:
    text = (ROOT / "docs" / "concepts.md").read_text()
    words = {*Problem, *Cause, *Phase}
    assert {word for word in words if f"| `{word}` |" not in text} == set()


def test_the_house_is_shown_as_it_is() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    named = set[str]()
    for cell in re.findall(r"(?m)^\| (`havrrpd/[^|]*) \|", text):
        folder = "havrrpd/"
        for path in re.findall(r"`([^`]*)`", cell):
            folder = path[: path.rindex("/") + 1] if "/" in path else folder
            whole = path.removesuffix("*") if "/" in path else folder + path
            assert (ROOT / whole).exists(), f"{path} is not there"
            named.add(whole.split("/")[1])
    there = {each.name for each in (ROOT / "havrrpd").iterdir() if not each.name.startswith("__")}
    assert there <= named


def test_a_wrong_command_and_a_broken_link_are_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A b\n[x](none.md) [y](#a-b) [z](#c)\n`havrrpd statsu`\n")
    assert list(broken_links(page)) == ["none.md: no such file", "#c: no such heading"]
    assert [wrong(command) for command in commands(page)] == ["statsu: cli has no command statsu"]
    assert wrong("status --wach") == "status --wach: status has no --wach"
    assert wrong("lab exec NODE -- havrrpd nothing") is None
