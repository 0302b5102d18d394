"""What the doctor prints: the table, the JSON, the line of a plugin, and the exit codes."""

from __future__ import annotations

import json
import re

import pytest
from msgspec.structs import replace

from havrrpd.config import Config
from havrrpd.doctor.command import Examined
from havrrpd.doctor.facts import Daemon, Facts, Kernel
from havrrpd.doctor.findings import NODE, Finding, Kind, Level
from havrrpd.doctor.report import as_json, failed, nagios, summary, table

FAIL = Kind("broken", Level.FAIL, "It is broken.", "mend it")
WARN = Kind("worn", Level.WARN, "It is worn.", "oil it")
UNKNOWN = Kind("hidden", Level.UNKNOWN, "It is hidden.", "be root")
NOTE = Kind("blue", Level.NOTE, "It is blue.", "nothing has to be done")
FACTS = Facts(
    config=Config(),
    daemon=Daemon({"routers": [{"state": "MASTER"}, {"state": "BACKUP"}]}, descriptors=(40, 1000)),
    kernel=Kernel(inotify_limit=128, inotify_used=12),
)
PERFDATA = (
    "fail=0;;0;0; warn=0;0;;0; routers=2;;;0; master=1;;;0; "
    "inotify=12;102;128;0;128 descriptors=40;800;1000;0;1000"
)
# Section 2.6 of the guidelines: 'label'=value[UOM];[warn];[crit];[min];[max]
PLUGIN = re.compile(
    r"(OK|WARNING|CRITICAL|UNKNOWN) - [^|\n]+ \| "
    r"(?:[a-z_]+=\d+(?:;\d*){4} ?)+"
)


def test_the_table_says_what_is_the_same_once() -> None:
    findings = [
        FAIL.at("router a", "no lever"),
        *(FAIL.at(f"router {name}", "no file") for name in "abcde"),
        WARN.at(NODE, "few"),
    ]
    assert table(findings).splitlines() == [
        "LEVEL  WHERE                      FINDING  WHAT IS SEEN, AND BELOW IT WHAT MENDS IT",
        "fail   router a                   broken   no lever",
        "fail   router a, b, c and 2 more  broken   no file",
        "       mend it",
        "warn   node                       worn     few",
        "       oil it",
    ]


def test_json_has_every_finding_by_itself() -> None:
    findings = [FAIL.at("router a", "no file"), FAIL.at("router b", "no file")]
    assert json.loads(as_json(FACTS, findings)) == {
        "summary": {"fail": 2, "warn": 0, "unknown": 0, "note": 0},
        "routers": 2,
        "daemon": "running",
        "findings": [
            {
                "level": "fail",
                "name": "broken",
                "where": f"router {name}",
                "what": "no file",
                "mend": "mend it",
            }
            for name in "ab"
        ],
    }


def test_the_summary_says_how_much_was_looked_at() -> None:
    assert summary(FACTS, []) == "2 routers: no finding"
    findings = [WARN.at(NODE, "few"), FAIL.at(NODE, "x"), WARN.at(NODE, "y")]
    assert summary(replace(FACTS, daemon=Daemon()), findings) == (
        "0 routers, without the daemon: 1 fail, 2 warn"
    )


@pytest.mark.parametrize(
    ("kinds", "code", "line"),
    [
        ([], 0, f"OK - 2 routers, no finding | {PERFDATA}"),
        ([NOTE], 0, f"OK - 2 routers, no finding | {PERFDATA}"),
        ([WARN], 1, f"WARNING - node: worn (w) | {PERFDATA.replace('warn=0', 'warn=1')}"),
        ([UNKNOWN], 3, f"UNKNOWN - node: hidden (w) | {PERFDATA}"),
        (
            [UNKNOWN, WARN],
            1,
            "WARNING - node: hidden (w); node: worn (w) | " + PERFDATA.replace("warn=0", "warn=1"),
        ),
        (
            [FAIL, WARN],
            2,
            "CRITICAL - node: broken (w); node: worn (w) | "
            + PERFDATA.replace("warn=0", "warn=1").replace("fail=0", "fail=1"),
        ),
    ],
)
def test_the_line_and_the_code_of_a_plugin(kinds: list[Kind], code: int, line: str) -> None:
    said = nagios(FACTS, [kind.at(NODE, "w") for kind in kinds])
    assert said == (code, line)
    assert PLUGIN.fullmatch(said[1])


def test_a_plugin_says_one_line_whatever_is_found() -> None:
    findings = [FAIL.at(f"router {n}", "a | b\nc") for n in range(1000)]
    code, line = nagios(FACTS, findings)
    assert code == 2
    assert PLUGIN.fullmatch(line)
    assert len(line) < 1024  # what NRPE passes on
    assert line.startswith("CRITICAL - router 0: broken (a / b c); router 1: ")
    assert re.search(r"; and \d+ more \| fail=1000;", line)


def test_a_plugin_that_fails_is_unknown() -> None:
    assert failed("OSError: no |\nmore") == (
        3,
        "UNKNOWN - the doctor failed: OSError: no / more",
    )


@pytest.mark.parametrize(
    ("kinds", "problems", "code"),
    [
        ([], (), 0),
        ([NOTE], (), 0),
        ([WARN], (), 0),
        ([WARN, UNKNOWN], (), 1),
        ([UNKNOWN, FAIL], (), 3),
        ([FAIL], ("x.toml: y",), 2),
    ],
)
def test_the_exit_codes_of_the_plain_doctor(
    kinds: list[Kind], problems: tuple[str, ...], code: int
) -> None:
    findings: list[Finding] = [kind.at(NODE, "w") for kind in kinds]
    assert Examined(replace(FACTS, config_problems=problems), findings).exit_code == code
