"""Pure: the counters of all routers beside what was done to them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

Counts = Counter[str]  # "STATE" or "STATE because of cause", or "resigned because of cause"
Key = tuple[str, str]  # node, router

_TRANSITION = re.compile(
    r'^havrrpd_vrrp_transitions_total\{router="([^"]+)",vrrp_instance="[^"]*",'
    r'to="([A-Z]+)",cause="([a-z_]+)"\} (\S+)$',
    re.M,
)
_RESIGNATION = re.compile(
    r'^havrrpd_resignations_total\{router="([^"]+)",cause="([a-z_]+)"\} (\S+)$', re.M
)


def counted(metrics: str) -> dict[str, Counts]:
    """What a node's /metrics counts, by router. BACKUP and MASTER by state and cause as well."""
    found: dict[str, Counts] = {}
    for router, state, cause, value in _TRANSITION.findall(metrics):
        found.setdefault(router, Counter())[f"{state} because of {cause}"] += int(float(value))
    for router, cause, value in _RESIGNATION.findall(metrics):
        found.setdefault(router, Counter())[f"resigned because of {cause}"] += int(float(value))
    return {router: +counts for router, counts in found.items()}


class Ledger:
    """What the counters should be: what they were at first, and what each fault added."""

    def __init__(self) -> None:
        self._should: dict[Key, Counts] = {}

    def opens(self, key: Key, counts: Counts) -> None:
        """So much was counted before anything was done, or since the counters began anew."""
        self._should[key] = Counter(counts)

    def book(self, key: Key, now: Counts) -> Counts:
        """After a fault: what it added, which is right from now on."""
        added = Counter(now)
        added.subtract(self._should.get(key, Counter()))
        self._should[key] = Counter(now)
        return Counter({what: count for what, count in added.items() if count})

    def differences(self, now: Mapping[Key, Counts]) -> list[str]:
        """What was counted beside the faults."""
        return [
            f"{node}, {router[:8]}: {_text(now.get((node, router), Counter()), should)}"
            for (node, router), should in self._should.items()
            if now.get((node, router), Counter()) != should
        ]


def _text(counts: Counts, should: Counts) -> str:
    more = {w: counts[w] - should[w] for w in counts | should if counts[w] != should[w]}
    return ", ".join(f"{count:+d} {what}" for what, count in sorted(more.items()))
