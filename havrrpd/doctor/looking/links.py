"""What an interface in a namespace is plugged into: two on one bridge hear each other."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct


class Port(Struct, frozen=True):
    """One interface of our own namespace. `peer` is the index of the other end of a veth pair."""

    name: str
    peer: int
    bridge: str | None


def ports(sys: Path = Path("/sys")) -> dict[int, Port]:
    """By their index."""
    found = {}
    for folder in (sys / "class/net").glob("*"):
        try:
            index, peer = _index(folder, "ifindex"), _index(folder, "iflink")
            bridge = os.readlink(folder / "master").rpartition("/")[2]
        except FileNotFoundError:
            bridge = None
        except OSError:
            continue
        found[index] = Port(folder.name, peer, bridge)
    return found


def link_of(interface: str, sys: Path, netns: int, ours: Mapping[int, Port]) -> str:
    """A name for the link; equal names are one link. `sys` is what the interface's namespace sees.

    Where the other end is not known, the interface itself is the link.
    """
    alone = f"{interface} in net:[{netns}]"
    try:
        folder = sys / "class/net" / interface
        index, peer = _index(folder, "ifindex"), _index(folder, "iflink")
    except (OSError, ValueError):
        return alone
    port = ours.get(peer)
    if port is None or port.peer != index or peer == index:
        return alone
    return f"bridge {port.bridge}" if port.bridge else alone


def _index(folder: Path, name: str) -> int:
    return int((folder / name).read_text())
