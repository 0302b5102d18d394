"""config/grafana: every query asks for what is there, in words that Prometheus reads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from tests.exported import ROOT, complaints, exported, promtool

DASHBOARD: dict[str, Any] = json.loads((ROOT / "config/grafana/havrrpd.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
VARIABLES = {each["name"]: each for each in DASHBOARD["templating"]["list"]}
DRAWN = [panel for panel in PANELS if panel["type"] != "row"]


def expressions() -> Iterator[tuple[str, str]]:
    """The panel and the expression, with its variables as Grafana fills them in."""
    for panel in DRAWN:
        for target in panel["targets"]:
            yield panel["title"], filled_in(target["expr"])


def filled_in(text: str) -> str:
    return re.sub(r"\$(?:job|node|router)\b", ".+", text.replace("$__rate_interval", "5m"))


@pytest.mark.parametrize(("title", "expression"), list(expressions()))
def test_a_query_asks_for_metrics_and_labels_that_havrrpd_exports(
    title: str, expression: str
) -> None:
    assert "$" not in expression
    assert list(complaints(expression, exported())) == [], title


def test_prometheus_can_read_every_query(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{n}", "expr": text} for n, (_, text) in enumerate(expressions())]
    file = tmp_path / "panels.yml"
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    assert f"SUCCESS: {len(rules)} rules found" in promtool("check", "rules", str(file))


def test_the_variables_are_filled_from_what_is_there() -> None:
    assert list(VARIABLES) == ["datasource", "job", "node", "router"]
    for name in ("job", "node", "router"):
        asked = re.fullmatch(r"label_values\((.+), (\w+)\)", VARIABLES[name]["query"]["query"])
        assert asked is not None
        known = exported()
        assert list(complaints(filled_in(asked[1]), known)) == []
        assert asked[2] in known[asked[1].split("{")[0]]


def test_every_query_goes_to_the_chosen_data_source_and_obeys_the_variables() -> None:
    for panel in DRAWN:
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == panel["datasource"]["uid"] == "${datasource}"
            selectors = re.findall(r"\{([^{}]*)\}", target["expr"])
            assert selectors
            for selector in selectors:
                assert 'job=~"$job",instance=~"$node"' in selector, panel["title"]


def test_panels_have_numbers_of_their_own_say_what_they_show_and_do_not_overlap() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    assert all(panel["description"].endswith(".") for panel in DRAWN)
    for one, other in combinations((panel["gridPos"] for panel in PANELS), 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above


def test_every_state_has_a_word_and_a_colour_in_the_timeline() -> None:
    panel = next(p for p in PANELS if p["title"] == "State by router and node")
    asked = re.findall(
        r'(\d) \* havrrpd_vrrp_state\{[^}]*state="(\w+)"\}', panel["targets"][0]["expr"]
    )
    shown = {
        (number, value["text"])
        for mapping in panel["fieldConfig"]["defaults"]["mappings"]
        for number, value in mapping["options"].items()
    }
    assert set(asked) == shown
    assert {word for _, word in asked} == exported()["havrrpd_vrrp_state"]["state"]
