"""docs/configuration.md has every key. `python -m tests.unit.test_configuration_docs` writes it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from havrrpd.config_keys import HEALTH_CHECK, ROUTER, SECTIONS, Key
from havrrpd.daemon import FIXED
from tests.written import Page

ROOT = Path(__file__).parents[2]
SHIPPED = (ROOT / "config" / "havrrpd.toml").read_text(encoding="utf-8")
PAGE = Page("configuration.md", "every key")

# Keys of [[router]] that are explained in the text above the table.
_OWN = {
    "match": "Which routers the table is about.",
    "keepalived_conf": "The configuration file of a keepalived that is not found by itself.",
    "namespace": "The network namespace of that keepalived; without it the host's.",
    "gateways": "The next hops to check, in place of those found.",
}


def tables() -> str:
    return "\n".join(line for section in SECTIONS for line in table(section)) + "\n" + routers()


def table(section: str) -> Iterator[str]:
    about, keys = described(section)
    yield f"### `[{section}]`\n"
    if about:
        yield f"{about}\n"
    yield "| key | default | must be | meaning | a change needs |"
    yield "|---|---|---|---|---|"
    for name, key in SECTIONS[section].items():
        default = value(section, name)
        yield row(f"`{name}`", default, key, keys[name], needed(section, name))
    yield ""


def routers() -> str:
    lines = ["### `[[router]]`\n", "| key | must be | meaning |", "|---|---|---|"]
    for name, key in ROUTER.items():
        meaning = _OWN.get(name, "As in [`[health_check]`](#health_check), for these routers.")
        lines.append(f"| `{name}` | {words(key)} | {meaning} |")
    return "\n".join(lines) + "\n"


def row(name: str, default: str, key: Key, meaning: str, needs: str) -> str:
    return f"| {name} | `{default}` | {words(key)} | {meaning} | {needs} |"


def words(key: Key) -> str:
    return key.must.removeprefix("must be ")


def needed(section: str, name: str) -> str:
    return "a restart" if {section, f"{section}.{name}"} & set(FIXED) else "a reload"


def value(section: str, name: str) -> str:
    """The default as the shipped file writes it."""
    found = re.search(rf"(?m)^#{name} = (.*)$", body(section))
    assert found is not None
    return found[1]


def described(section: str) -> tuple[str, Mapping[str, str]]:
    """What the comments of the shipped file say of the table, and of each key."""
    above = re.search(rf"(?m)((?:^# .*\n)*)^\[{section}\]$", SHIPPED)
    assert above is not None
    keys: dict[str, str] = {}
    said, last = "", ""
    for line in body(section).splitlines():
        if found := re.match(r"#([a-z_]+) = ", line):
            keys[found[1]] = last = said or last
            said = ""
        elif line.startswith("# "):
            said = f"{said} {line[2:]}".strip().replace("<", "&lt;")
    return " ".join(line.removeprefix("# ") for line in above[1].splitlines()), keys


def body(section: str) -> str:
    return re.split(r"\n\n|\n\[", SHIPPED.partition(f"\n[{section}]\n")[2])[0]


def test_the_page_has_every_key_as_the_model_has_it() -> None:
    PAGE.must_be_current(tables())


def test_every_key_has_a_meaning_and_no_sentence_breaks_its_table() -> None:
    for section, keys in SECTIONS.items():
        _, meanings = described(section)
        for name, key in keys.items():
            assert len(meanings[name]) > 10, f"{section}.{name}"
            assert not set("|\n") & set(meanings[name] + key.must), f"{section}.{name}"


def test_every_key_of_a_router_is_explained_once() -> None:
    assert _OWN.keys() | HEALTH_CHECK.keys() == ROUTER.keys()
    assert not _OWN.keys() & HEALTH_CHECK.keys()


if __name__ == "__main__":
    PAGE.write(tables())
