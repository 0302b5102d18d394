"""Prometheus' text formats, written sample by sample: 1 us each (prometheus_client takes 11).

Version 0.0.4 of the text format, and OpenMetrics 1.0 where it is asked for. Which one, is decided
by prometheus_client.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

from prometheus_client.exposition import choose_encoder

_OPEN_METRICS = "application/openmetrics-text"


class Kind(StrEnum):
    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


class Family:
    """One metric with all its samples. A counter is named without `_total`."""

    def __init__(
        self, kind: Kind, name: str, documentation: str, labels: Sequence[str] = ()
    ) -> None:
        self.kind, self.name, self.documentation = kind, name, documentation
        self.labels = tuple(labels)
        self.lines: list[str] = []
        sample = f"{name}_total" if kind is Kind.COUNTER else name
        in_braces = ",".join(f'{label}="%s"' for label in labels)
        self._form = f"{sample}{{{in_braces}}} %r\n" if labels else f"{sample} %r\n"

    def add(self, values: tuple[str, ...], value: float) -> None:
        """`values` in the order of the labels, each one `escaped` unless it needs not be."""
        self.lines.append(self._form % (*values, float(value)))

    def set(self, value: float) -> None:
        """The one sample of a metric without labels."""
        self.add((), value)

    def add_buckets(self, buckets: Iterable[tuple[str, int]], total: float) -> None:
        """Of a histogram: cumulative counts by upper bound, the last one `+Inf`."""
        count = 0
        for bound, count in buckets:
            self.lines.append(f'{self.name}_bucket{{le="{bound}"}} {float(count)!r}\n')
        self.lines.append(f"{self.name}_count {float(count)!r}\n")
        self.lines.append(f"{self.name}_sum {float(total)!r}\n")


def content_type(accept: str) -> str:
    """What to answer a request with this Accept header with."""
    return choose_encoder(accept)[1]


def text(families: Iterable[Family], content_type: str) -> bytes:
    """The whole exposition."""
    is_open = content_type.startswith(_OPEN_METRICS)
    parts = []
    for family in families:
        name = family.name
        if family.kind is Kind.COUNTER and not is_open:
            name += "_total"
        parts.append(f"# HELP {name} {family.documentation}\n# TYPE {name} {family.kind}\n")
        parts += family.lines
    if is_open:
        parts.append("# EOF\n")
    return "".join(parts).encode(errors="replace")


def escaped(value: str) -> str:
    """As the value of a label is written."""
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
