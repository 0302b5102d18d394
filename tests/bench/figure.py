"""One measured figure, of havrrpd or of somebody else."""

from __future__ import annotations

from dataclasses import dataclass

HAVRRPD = "havrrpd"


@dataclass(frozen=True, slots=True)
class Figure:
    """`value` is None where there is none: `note` says why. It may not be above `limit`."""

    by: str
    routers: int
    what: str
    value: float | None
    unit: str = ""
    note: str = ""
    limit: float | None = None

    @property
    def holds(self) -> bool:
        return self.limit is None or (self.value is not None and self.value <= self.limit)

    def __str__(self) -> str:
        return (
            f"{self.by:<18} {self.routers:5}  {self.what:<64} {self.shown:>10} {self.unit:<8} "
            f"{self.verdict} {self.note}"
        ).rstrip()

    @property
    def shown(self) -> str:
        """About three digits."""
        if self.value is None:
            return "-"
        digits = 0 if abs(self.value) >= 100 else 1 if abs(self.value) >= 10 else 2
        return f"{self.value:.{digits}f}" if abs(self.value) >= 0.1 else f"{self.value:.2g}"

    @property
    def verdict(self) -> str:
        if self.limit is None:
            return ""
        return f"limit {self.limit:g}: {'holds' if self.holds else 'MISSED'}"
