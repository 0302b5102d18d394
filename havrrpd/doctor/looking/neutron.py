"""Neutron's configuration of the layer-2 agent on this node, and its monitors that run."""

from __future__ import annotations

import configparser
import os
from pathlib import Path

from havrrpd.doctor.facts import Neutron

_TRUE = ("1", "true", "yes", "on")  # as oslo.config reads a boolean
_MONITOR = b"neutron-keepalived-state-change"


def look(directory: Path, proc: Path = Path("/proc")) -> Neutron:
    switched_on, unread = [], []
    for file in sorted(directory.glob("*.ini")):
        try:
            if has_l2_population(file.read_text(errors="replace")):
                switched_on.append(str(file))
        except (OSError, configparser.Error):
            unread.append(str(file))
    return Neutron(tuple(switched_on), _monitors(proc), tuple(unread))


def has_l2_population(text: str) -> bool:
    """Of the Linux bridge agent: its section is [vxlan]. Raises configparser.Error."""
    parser = configparser.RawConfigParser(
        strict=False, allow_no_value=True, default_section="\0", inline_comment_prefixes=None
    )
    parser.read_string(text)
    switched_on = _is_true(parser, "l2_population", default="false")
    return switched_on and _is_true(parser, "enable_vxlan", default="true")


def _is_true(parser: configparser.RawConfigParser, key: str, default: str) -> bool:
    value = parser.get("vxlan", key, fallback=default)
    return (value or "").strip().lower() in _TRUE


def _monitors(proc: Path) -> int:
    return sum(_is_monitor(proc / name) for name in os.listdir(proc) if name.isdecimal())


def _is_monitor(process: Path) -> bool:
    try:
        return _MONITOR in (process / "cmdline").read_bytes()
    except OSError:
        return False
