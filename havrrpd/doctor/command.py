"""One examination from the configuration file to findings, and its exit code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from havrrpd.config import Config, ConfigError, load
from havrrpd.doctor import report
from havrrpd.doctor.facts import Facts
from havrrpd.doctor.findings import Finding, Level
from havrrpd.doctor.looking import look
from havrrpd.doctor.rules import examine

GOOD, FAILED, BAD_CONFIG, DEGRADED = 0, 1, 2, 3


@dataclass(frozen=True, slots=True)
class Examined:
    """What was seen and what came of it."""

    facts: Facts
    findings: Sequence[Finding]

    @property
    def exit_code(self) -> int:
        if self.facts.config_problems:
            return BAD_CONFIG
        return {Level.FAIL: DEGRADED, Level.UNKNOWN: FAILED}.get(self._worst, GOOD)

    @property
    def _worst(self) -> Level:
        """Warnings degrade nothing, but what could not be looked at is no success."""
        levels = {finding.level for finding in self.findings}
        order = (Level.FAIL, Level.UNKNOWN, Level.WARN)
        return next((level for level in order if level in levels), Level.NOTE)

    def table(self) -> str:
        return report.table(self.findings)

    def as_json(self) -> str:
        return report.as_json(self.facts, self.findings)

    def summary(self) -> str:
        return report.summary(self.facts, self.findings)


def examine_node(config_path: str | None, socket_path: str | None) -> Examined:
    """`socket_path` None: the one of the configuration. A mistake in that is a finding."""
    config, problems = _configuration(config_path)
    facts = look(config, problems, socket_path or config.paths.socket)
    return Examined(facts, examine(facts))


def nagios(config_path: str | None, socket_path: str | None) -> tuple[int, str]:
    """The exit code and the line of a plugin, which ends with UNKNOWN whatever happens to it."""
    try:
        examined = examine_node(config_path, socket_path)
        return report.nagios(examined.facts, examined.findings)
    except Exception as error:  # the contract of a plugin: 1 would be WARNING
        return report.failed(f"{type(error).__name__}: {error}")


def _configuration(path: str | None) -> tuple[Config, tuple[str, ...]]:
    try:
        return load(path), ()
    except ConfigError as error:
        return Config(), error.problems
