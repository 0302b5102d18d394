"""Findings as text: a table for people, JSON, and one line for a monitoring system."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence

from havrrpd.doctor.facts import Facts, Json
from havrrpd.doctor.findings import Finding, Level

Row = tuple[str, str, str, str]

COLUMNS: Row = ("LEVEL", "WHERE", "FINDING", "WHAT IS SEEN, AND BELOW IT WHAT MENDS IT")
INDENT = "       "
_NAMED = 3  # places that are named where one finding is at many

# The exit codes and words of a plugin: docs/doctor.md says where they are described.
_NAGIOS = {
    Level.FAIL: (2, "CRITICAL"),
    Level.WARN: (1, "WARNING"),
    Level.UNKNOWN: (3, "UNKNOWN"),
    Level.NOTE: (0, "OK"),
}
UNKNOWN = 3
_LONGEST = 600  # characters: NRPE cuts a line at 1024, perfdata included


def worst(findings: Sequence[Finding]) -> Level | None:
    """None: there is no finding."""
    found = {finding.level for finding in findings}
    return next((level for level in Level if level in found), None)


def table(findings: Sequence[Finding]) -> str:
    """A line for each finding under a line of headings, and under it what mends it.

    What is the same in many places is one line, and what mends several lines is said once.
    """
    rows = _rows(findings)
    heads = [COLUMNS, *(row for row, _ in rows)]
    widths = [max(len(row[column]) for row in heads) for column in range(len(COLUMNS))]
    lines = [_line(COLUMNS, widths)]
    for number, (row, mend) in enumerate(rows):
        lines.append(_line(row, widths))
        if mend not in [after for _, after in rows[number + 1 : number + 2]]:
            lines.append(f"{INDENT}{mend}")
    return "\n".join(lines)


def _line(row: Row, widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _rows(findings: Sequence[Finding]) -> list[tuple[Row, str]]:
    """Each with what mends it."""
    places: dict[tuple[Level, str, str, str], list[str]] = {}
    for each in findings:
        key = (each.level, each.name, each.what, each.mend)
        places.setdefault(key, []).append(each.where)
    return [
        ((str(level), _where(where), name, what), mend)
        for (level, name, what, mend), where in places.items()
    ]


def _where(places: list[str]) -> str:
    """`router a, b, c and 7 more`, but `router a` and `router a VR_1` are never joined to one."""
    if len(places) == 1:
        return places[0]
    named = [place.removeprefix("router ") for place in places[:_NAMED]]
    more = f" and {len(places) - _NAMED} more" if len(places) > _NAMED else ""
    return f"router {', '.join(named)}{more}"


def summary(facts: Facts, findings: Sequence[Finding]) -> str:
    """All in one line: how much was looked at, and what came of it."""
    counts = Counter(finding.level for finding in findings)
    found = ", ".join(f"{counts[level]} {level}" for level in Level if counts[level])
    return f"{_looked_at(facts)}: {found or 'no finding'}"


def _looked_at(facts: Facts) -> str:
    routers = max(len(facts.keepalived), len(facts.routers))
    looked = "1 router" if routers == 1 else f"{routers} routers"
    return looked if facts.daemon.status is not None else f"{looked}, without the daemon"


def as_json(facts: Facts, findings: Sequence[Finding]) -> str:
    counts = Counter(finding.level for finding in findings)
    document: Json = {
        "summary": {str(level): counts[level] for level in Level},
        "routers": max(len(facts.keepalived), len(facts.routers)),
        "daemon": "running" if facts.daemon.status is not None else "silent",
        "findings": [
            {
                "level": str(each.level),
                "name": each.name,
                "where": each.where,
                "what": each.what,
                "mend": each.mend,
            }
            for each in findings
        ],
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def nagios(facts: Facts, findings: Sequence[Finding]) -> tuple[int, str]:
    """The exit code and the line: `WORD - text | perfdata`."""
    level = worst(findings)
    code, word = (0, "OK") if level is None else _NAGIOS[level]
    serious = [each for each in findings if each.level is not Level.NOTE]
    texts = [f"{each.where}: {each.name} ({each.what})" for each in serious]
    text = f"{_looked_at(facts)}, no finding" if not texts else _shortened(texts)
    return code, f"{word} - {_plain(text)} | {_performance(facts, findings)}"


def failed(reason: str) -> tuple[int, str]:
    """The same where the doctor itself could not go on."""
    return UNKNOWN, f"UNKNOWN - the doctor failed: {_plain(reason)}"


def _shortened(texts: list[str]) -> str:
    """As many as fit, the first one in any case, and how many more there are."""
    length, taken = 0, 0
    for text in texts:
        length += len(text) + 2
        if taken and length > _LONGEST:
            break
        taken += 1
    more = len(texts) - taken
    listed = "; ".join(texts[:taken])
    return listed[:_LONGEST] + (f"; and {more} more" if more else "")


def _plain(text: str) -> str:
    """On one line, without what divides text from perfdata."""
    return re.sub(r"\s+", " ", text.replace("|", "/")).strip()


def _performance(facts: Facts, findings: Sequence[Finding]) -> str:
    """'label'=value;warn;crit;min;max, as the guidelines have it."""
    counts = Counter(finding.level for finding in findings)
    routers = max(len(facts.keepalived), len(facts.routers))
    masters = sum(each["state"] == "MASTER" for each in facts.routers)
    values = [
        f"fail={counts[Level.FAIL]};;0;0;",
        f"warn={counts[Level.WARN]};0;;0;",
        f"routers={routers};;;0;",
        f"master={masters};;;0;",
    ]
    used, limit = facts.kernel.inotify_used, facts.kernel.inotify_limit
    if used is not None and limit is not None:
        values.append(f"inotify={used};{limit * 8 // 10};{limit};0;{limit}")
    if facts.daemon.descriptors is not None:
        opened, most = facts.daemon.descriptors
        values.append(f"descriptors={opened};{most * 8 // 10};{most};0;{most}")
    return " ".join(values)
