"""docs/metrics.md has every metric. `python -m tests.unit.test_metrics_docs` writes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from havrrpd.core.model import Cause, Outcome, Problem, State
from havrrpd.sources.adverts.decode import Reason
from havrrpd.sources.adverts.source import OVERRUN
from havrrpd.sources.notify.decode import Line
from havrrpd.views.exposition import Family, Kind
from havrrpd.views.metrics import RESIGNATION_CAUSES, families
from havrrpd.views.web.limits import Refusal
from tests.written import Page

PAGE = Page("metrics.md", "every metric")

GROUPS = {
    "havrrpd_vrrp_": "VRRP",
    "havrrpd_keepalived_": "VRRP",
    "havrrpd_gateway_": "Gateways",
    "havrrpd_election_": "The election",
    "havrrpd_resignations": "The election",
}
REST = "The node and havrrpd itself"

# What a label can be. A metric of its own name comes before a label of all.
VALUES: Mapping[str, Iterable[str] | str] = {
    "router": "the id of the router, as in /status",
    "vrrp_instance": "the name of the VRRP instance; empty for a router without any",
    "vrid": "1 to 255",
    "gateway": "its address, with `%` and the interface where that alone is ambiguous",
    "family": ["ipv4", "ipv6"],
    "version": "the version of havrrpd",
    "state": State,
    "to": State,
    "problem": Problem,
    "cause": Cause,
    "havrrpd_resignations cause": RESIGNATION_CAUSES,
    "direction": ["sent", "heard"],
    "method": "`arp`, `ndp`, `icmp`, or those that were tried, such as `arp+icmp`",
    "outcome": Outcome,
    "havrrpd_source_stalled source": [
        "steps",
        "netlink",
        "notify",
        "adverts",
        "gateway",
        "keepalived",
    ],
    "havrrpd_notify_lines outcome": Line,
    "havrrpd_adverts_rejected reason": [*Reason, OVERRUN],
    "havrrpd_web_refused reason": Refusal,
}


def tables() -> str:
    lines = []
    for group in dict.fromkeys([*GROUPS.values(), REST]):
        lines += [f"### {group}\n", "| metric | type | unit | labels | meaning |"]
        lines += ["|---|---|---|---|---|"]
        lines += [row(family) for family in families() if group_of(family) == group]
        lines.append("")
    return "\n".join([*lines, *labels(), ""])


def row(family: Family) -> str:
    names = ", ".join(f"`{label}`" for label in family.labels) or "-"
    shown, meaning = full_name(family), family.documentation.replace("|", "\\|")
    return f"| `{shown}` | {family.kind} | {unit(family)} | {names} | {meaning} |"


def labels() -> list[str]:
    used = [label for family in families() for label in family.labels]
    lines = ["### Labels\n", "| label | of | values |", "|---|---|---|"]
    for key, values in VALUES.items():
        owner, _, label = key.rpartition(" ")
        assert label in used, f"{label} is no label of any metric"
        named = [full_name(family) for family in families() if family.name == owner]
        of = f"`{named[0]}`" if named else "all others" if is_special(label) else "all"
        lines.append(f"| `{label}` | {of} | {listed(values)} |")
    return lines


def is_special(label: str) -> bool:
    return any(key.endswith(f" {label}") for key in VALUES)


def listed(values: Iterable[str] | str) -> str:
    return values if isinstance(values, str) else ", ".join(f"`{value}`" for value in values)


def group_of(family: Family) -> str:
    return next((of for prefix, of in GROUPS.items() if family.name.startswith(prefix)), REST)


def full_name(family: Family) -> str:
    return f"{family.name}_total" if family.kind is Kind.COUNTER else family.name


def unit(family: Family) -> str:
    if family.name.endswith("_timestamp_seconds"):
        return "s since 1970"
    return "s" if family.name.endswith("_seconds") else "-"


def test_the_page_has_every_metric_as_the_view_has_it() -> None:
    PAGE.must_be_current(tables())


def test_every_label_has_its_values_on_the_page() -> None:
    for family in families():
        for label in family.labels:
            assert label in VALUES or f"{family.name} {label}" in VALUES, (family.name, label)


def test_no_label_is_one_that_prometheus_sets() -> None:
    used = {label for family in families() for label in family.labels}
    assert not used & {"instance", "node", "job"}


if __name__ == "__main__":
    PAGE.write(tables())
