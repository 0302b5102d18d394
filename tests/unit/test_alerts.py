"""config/prometheus: rules that ask for what is there, fire when they should, and have a runbook.

promtool plays a made-up past for each alert, as Prometheus would see it at a scrape a minute.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.exported import ROOT, Labels, body, complaints, exported, promtool

RULES = ROOT / "config/prometheus/havrrpd.rules.yml"
RUNBOOKS = ROOT / "docs/runbooks.md"
PARTS = ("means", "users", "look", "do", "ends")  # what a runbook says, in this order


def groups() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(RULES.read_text())["groups"]
    return found


def rules(kind: str) -> list[dict[str, Any]]:
    return [rule for group in groups() for rule in group["rules"] if kind in rule]


ALERTS = {rule["alert"]: rule for rule in rules("alert")}


def known() -> dict[str, Labels]:
    """What there is, and what is recorded, whose labels are in the first part of its name."""
    recorded = {
        rule["record"]: {
            **dict.fromkeys(re.findall(r"vrrp_instance|[a-z]+", rule["record"].split(":")[0]))
        }
        for rule in rules("record")
    }
    return {**exported(), **recorded}


# --- what they ask for ---


@pytest.mark.parametrize("rule", rules("expr"), ids=lambda r: str(r.get("alert", r.get("record"))))
def test_a_rule_asks_for_metrics_and_labels_that_havrrpd_exports(rule: dict[str, Any]) -> None:
    assert list(complaints(rule["expr"], known())) == []


@pytest.mark.parametrize("rule", rules("record"), ids=lambda rule: str(rule["record"]))
def test_a_recorded_series_has_the_labels_in_its_name(rule: dict[str, Any]) -> None:
    by = re.search(r"by \(([^)]*)\)", rule["expr"])
    assert by is not None
    kept = [label for label in re.split(r",\s*", by[1]) if label != "le"]
    assert "_".join(kept) == rule["record"].split(":")[0]


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("havrrpd_vrrp_stat == 1", ["there is no metric havrrpd_vrrp_stat"]),
        ('havrrpd_draining{router="a"}', ["havrrpd_draining has no label router"]),
        (
            'havrrpd_vrrp_problem{problem="no_masters"} > 0',
            ["problem of havrrpd_vrrp_problem is never no_masters"],
        ),
        (
            "sum by (node) (rate(havrrpd_netlink_overruns_total[5m]))",
            ["no metric here has a label node"],
        ),
        ('sum by (router, job) (havrrpd_vrrp_state{state=~"MASTER|BACKUP"}) and up == 1', []),
    ],
)
def test_what_is_not_exported_would_be_found(expression: str, said: list[str]) -> None:
    assert list(complaints(expression, exported())) == said


def test_promtool_has_nothing_to_say_about_metrics_rules_and_the_example() -> None:
    assert promtool("check", "metrics", stdin=body()) == ""
    assert f"SUCCESS: {len(rules('expr'))} rules found" in promtool("check", "rules", str(RULES))
    promtool("check", "config", str(RULES.with_name("prometheus.yml")))


# --- the runbooks ---


def sections() -> dict[str, str]:
    """The text under each heading of the second level."""
    parts = re.split(r"^## (.+)$", RUNBOOKS.read_text(), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_each_alert_has_a_runbook_and_each_runbook_an_alert() -> None:
    assert sorted(sections()) == sorted(ALERTS)


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_how_bad_it_is_and_links_to_its_runbook(name: str) -> None:
    alert, runbook = ALERTS[name], sections()[name]
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
    assert alert["annotations"]["runbook_url"] == f"docs/runbooks.md#{name.lower()}"
    found = re.findall(r"^\*\*(\w+)", runbook, flags=re.M)
    assert [word.lower() for word in found] == list(PARTS)
    assert f"`{alert['labels']['severity']}`" in runbook


# --- when they fire ---

ROUTER = 'router="a",vrrp_instance="VR_1"'


def series(metric: str, labels: str, values: str, node: str = "network1") -> tuple[str, str]:
    return f'{metric}{{job="havrrpd",instance="{node}",{labels}}}', values


def state(word: str, values: str, node: str = "network1") -> tuple[str, str]:
    return series("havrrpd_vrrp_state", f'{ROUTER},vrid="1",state="{word}"', values, node)


def elsewhere(one: tuple[str, str]) -> tuple[str, str]:
    """The same in another job."""
    return one[0].replace('job="havrrpd"', 'job="havrrpd-other"'), one[1]


def problem(name: str, values: str = "1x60") -> tuple[str, str]:
    return series("havrrpd_vrrp_problem", f'{ROUTER},problem="{name}"', values)


def heard(values: str, node: str = "network2") -> tuple[str, str]:
    return series("havrrpd_vrrp_masters_heard", ROUTER, values, node)


def turns(values: str, node: str) -> tuple[str, str]:
    return series("havrrpd_election_turns_total", 'router="a"', values, node)


def promotions(values: str, node: str = "network1") -> tuple[str, str]:
    labels = f'{ROUTER},to="MASTER",cause="peer_silent"'
    return series("havrrpd_vrrp_transitions_total", labels, values, node)


def lag(late: int) -> list[tuple[str, str]]:
    """240 looks a minute, so many of them late by up to a second."""
    counts = {"0.1": 240 - late, "0.25": 240 - late, "1.0": 240, "+Inf": 240}
    name = "havrrpd_event_loop_lag_seconds_bucket"
    return [series(name, f'le="{le}"', f"0+{count}x60") for le, count in counts.items()]


@dataclass(frozen=True)
class Case:
    """`silent`, `firing`: minutes at which the alert is so."""

    alert: str
    when: str
    past: tuple[tuple[str, str], ...]
    silent: tuple[int, ...] = ()
    firing: tuple[int, ...] = ()


def lasting(alert: str, name: str, minutes: int) -> Case:
    """A problem's alert fires when it has been there for so long, and ends with it."""
    past = (problem(name, "1x20 0x20"),)
    return Case(alert, "it lasts", past, (minutes - 1, 22), (minutes, 20))


CASES = (
    Case(
        "VrrpSplitBrain", "two", (state("MASTER", "1x9"), state("MASTER", "1x9", "b")), (0,), (1,)
    ),
    Case(
        "VrrpSplitBrain",
        "it moves between two scrapes",
        (state("MASTER", "1 1 1 0x9"), state("MASTER", "0 0 1x9", "b")),
        (0, 1, 2, 3, 4),
    ),
    Case(
        "VrrpSplitBrain",
        "two routers of one name, on nodes that have nothing to do with each other",
        (state("MASTER", "1x9"), elsewhere(state("MASTER", "1x9", "b"))),
        (0, 2, 9),
    ),
    Case("VrrpDuplicateMaster", "heard", (problem("duplicate_master"),), (0,), (1, 9)),
    Case(
        "VrrpDuplicateMaster",
        "the other one is scraped",
        (problem("duplicate_master"), state("MASTER", "1x9"), state("MASTER", "1x9", "b")),
        (1, 9),
    ),
    Case("VrrpNoMaster", "nobody", (state("MASTER", "0x9"), heard("0x9")), (0,), (1, 9)),
    Case(
        "VrrpNoMaster",
        "the MASTER's havrrpd is down, and a BACKUP hears its keepalived",
        (state("MASTER", "1 1 stale", "b"), state("MASTER", "0x9"), heard("1x9")),
        (1, 3, 9),
    ),
    Case("VrrpGatewayLost", "it lasts", (problem("gateway_unreachable", "1x9"),), (1,), (2, 9)),
    Case(
        "VrrpGatewayLost",
        "another node took over at once",
        (problem("gateway_unreachable", "0 1 0x9"),),
        tuple(range(10)),
    ),
    lasting("VrrpAddressesOrphaned", "addresses_orphaned", 1),
    lasting("VrrpAddressesMissing", "addresses_missing", 1),
    lasting("VrrpAdvertsStopped", "adverts_stopped", 1),
    lasting("VrrpNoMasterHeard", "no_master_heard", 2),
    lasting("VrrpWitnessesDisagree", "witnesses_disagree", 5),
    lasting("VrrpLeverMissing", "lever_missing", 1),
    Case(
        "VrrpNoMasterHeard",
        "there is none",
        (problem("no_master_heard"), state("MASTER", "0x60")),
        (2, 9),
    ),
    Case(
        "VrrpRedundancyLost",
        "the BACKUP goes to FAULT",
        (state("MASTER", "1x20"), state("BACKUP", "1 0x20", "b"), state("BACKUP", "0x20")),
        (0, 5),
        (6, 20),
    ),
    Case(
        "VrrpRedundancyLost",
        "only one node has it",
        (
            *(state("MASTER", "1x20"), state("BACKUP", "0x20")),
            *(state("MASTER", "0 0 stale", "b"), state("BACKUP", "1 1 stale", "b")),
        ),
        (6,),
        (7, 20),
    ),
    Case("VrrpFault", "it lasts", (state("FAULT", "0 1x20 0x20"),), (0, 5, 22), (6, 21)),
    Case("VrrpFlapping", "six", (promotions("0 1 2 3 4 5 6x30"),), (1, 3, 30), (7, 12)),
    Case(
        "VrrpFlapping",
        "four, on two nodes",
        (promotions("0 1 2x9"), promotions("0 2x9", "b")),
        (2, 9),
    ),
    Case(
        "VrrpFlapping",
        "the nodes take turns",
        (promotions("0 1 2 3 4 5 6x9"), turns("0 1x9", "a"), turns("0 0 1x9", "b")),
        (7, 9),
    ),
    Case(
        "VrrpRoundRobin",
        "two nodes had turns",
        (
            turns("0 1x60", "a"),
            turns("0 0 1x60", "b"),
            problem("gateway_unreachable", "0 1x9 0x60"),
        ),
        (0, 2, 13),
        (4, 10),
    ),
    Case(
        "VrrpRoundRobin",
        "one node had its turns",
        (turns("0+1x60", "a"), problem("gateway_unreachable")),
        (9,),
    ),
    Case(
        "VrrpGatewayLostOnNode",
        "it gave a router away",
        (
            series("havrrpd_resignations_total", 'router="a",cause="gateway_lost"', "0 1x90"),
            series("havrrpd_resignations_total", 'router="a",cause="drained"', "0 1x90", "b"),
        ),
        (0, 65),
        (2, 30),
    ),
    Case(
        "KeepalivedDown",
        "it lasts",
        (series("havrrpd_keepalived_up", 'router="a"', "1 0x9 1x9"),),
        (0, 2, 11),
        (3, 10),
    ),
    Case("HavrrpdDown", "no answer", (series("up", "", "1 0x9 1x9"),), (0, 2, 11), (3, 10)),
    Case("HavrrpdDown", "no node is asked", (), (1,), (2,)),
    Case(
        "HavrrpdRestarts",
        "three",
        (series("process_start_time_seconds", "", "1 2 3 4x30"),),
        (1, 2, 20),
        (3, 12),
    ),
    Case(
        "HavrrpdDeaf",
        "it lasts",
        (series("havrrpd_source_stalled", 'source="netlink"', "1x9 0x9"),),
        (0, 10),
        (1, 9),
    ),
    Case("HavrrpdBlind", "it lasts", (state("INIT", "1x9 0x9"),), (1, 10), (2, 9)),
    Case("HavrrpdLate", "five of a hundred", tuple(lag(12)), (5,), (7, 30)),
    Case("HavrrpdLate", "one of 240", tuple(lag(1)), (7, 30)),
    Case(
        "HavrrpdOverruns",
        "three",
        (series("havrrpd_netlink_overruns_total", "", "0 1 2 3x30"),),
        (2, 20),
        (4, 12),
    ),
    Case(
        "HavrrpdDrainedLong", "it lasts", (series("havrrpd_draining", "", "1x300"),), (239,), (240,)
    ),
    Case(
        "HavrrpdConfigReloadFailed",
        "it lasts",
        (series("havrrpd_config_last_reload_successful", "", "0x9 1x9"),),
        (4, 10),
        (5, 9),
    ),
)
# Half an hour of two nodes, one failover, nothing wrong: no alert at all.
CALM = (
    *(series("up", "", "1x30", node) for node in ("a", "b")),
    *(state("MASTER", "1x9 0x20", "a"), state("BACKUP", "0x9 1x20", "a")),
    *(state("MASTER", "0x9 1x20", "b"), state("BACKUP", "1x9 0x20", "b")),
    *(state(word, "0x30", node) for word in ("FAULT", "INIT", "STOPPED") for node in ("a", "b")),
    *(promotions("1x30", "a"), promotions("0x9 1x20", "b")),
    *(heard("1x9 0x20", "b"), heard("0x9 1x20", "a")),
    *(problem(name, "0x30") for name in ("duplicate_master", "no_master_heard", "adverts_stopped")),
    *(series("havrrpd_keepalived_up", 'router="a"', "1x30", node) for node in ("a", "b")),
)


def played(
    past: Iterable[tuple[str, str]], moments: Iterable[tuple[int, int]], alert: str
) -> dict[str, Any]:
    """A test as promtool takes it: how many of the alert are firing at these minutes."""
    firing = f'count(ALERTS{{alertstate="firing",alertname=~"{alert}"}}) or vector(0)'
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in past],
        "promql_expr_test": [
            {"expr": firing, "eval_time": f"{at}m", "exp_samples": [{"labels": "{}", "value": n}]}
            for at, n in moments
        ],
    }


def run_past(tests: list[dict[str, Any]], directory: Path) -> None:
    """Each is played by promtool; AssertionError when an alert was not as it should be."""
    file = directory / "alerts.test.yml"
    order = [group["name"] for group in groups()]  # else at random, and a record can come too late
    played_by = {"rule_files": [str(RULES)], "group_eval_order": order, "tests": tests}
    file.write_text(json.dumps(played_by))
    promtool("test", "rules", str(file))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.alert}: {case.when}")
def test_an_alert_fires_when_it_should_and_only_then(case: Case, tmp_path: Path) -> None:
    moments = [(at, 0) for at in case.silent] + [(at, 1) for at in case.firing]
    run_past([played(case.past, moments, case.alert)], tmp_path)


def test_every_alert_is_seen_to_fire() -> None:
    assert {case.alert for case in CASES if case.firing} == set(ALERTS)


def test_a_calm_half_hour_with_one_failover_raises_nothing(tmp_path: Path) -> None:
    run_past([played(CALM, [(at, 0) for at in range(30)], ".+")], tmp_path)


def test_the_series_made_up_here_are_what_havrrpd_exports() -> None:
    for name, _ in (*CALM, *(each for case in CASES for each in case.past)):
        assert list(complaints(name, exported())) == []
