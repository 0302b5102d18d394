"""What the wiring itself decides: in which order two sources are heard."""

from __future__ import annotations

import os
import subprocess
from ipaddress import IPv4Address, ip_interface
from pathlib import Path

import pytest

from havrrpd.config import load
from havrrpd.core.messages import (
    AddressRemoved,
    AdvertHeard,
    Event,
    KeepalivedEnded,
    RouterGone,
    StateNotified,
)
from havrrpd.core.model import Word
from havrrpd.sources.keepalived.loaded import on_disk
from havrrpd.sources.keepalived.routers import Process
from havrrpd.wiring import Sources

REMOVED = AddressRemoved("ha-1", ip_interface("169.254.0.1/24"))


SAID = StateNotified("VR_1", Word.BACKUP, 50)
LAST = StateNotified("VR_1", Word.STOP, 50)
RESIGNED = AdvertHeard("ha-1", 1, IPv4Address("169.254.192.2"), 0, 2.0)


def telling(told: list[Event | RouterGone], tmp_path: Path) -> Sources:
    config = tmp_path / "havrrpd.toml"
    config.write_text("")
    return Sources(lambda _, event: told.append(event), load(str(config)))


@pytest.mark.parametrize(
    ("event", "ahead"),
    [(REMOVED, True), (SAID, True), (LAST, False)],
    ids=["an address removed", "a word", "a last word, which is of the one that died"],
)
def test_a_death_is_told_ahead_of_what_the_successor_does(
    tmp_path: Path, event: AddressRemoved | StateNotified, ahead: bool
) -> None:
    told: list[Event | RouterGone] = []
    sources = telling(told, tmp_path)
    keepalived = subprocess.Popen(["sleep", "60"])
    try:
        router = sources._keepalived._registry.add("qrouter-r1", "/keepalived.conf")
        pidfd, netns = os.pidfd_open(keepalived.pid), Path("/proc/self/ns/net")
        loaded = on_disk(tmp_path / "keepalived.conf")
        router.process = Process(keepalived.pid, pidfd, (0, 0), netns, loaded, None)
        sources._keepalived._pidfds.watch(pidfd, router)
        hear = sources._of_kernel if event is REMOVED else sources._of_keepalived
        hear(router.id, event)
        assert told == [event]
    finally:
        keepalived.kill()
        keepalived.wait()
    hear(router.id, event)
    assert told == [event, *([KeepalivedEnded(keepalived.pid)] if ahead else []), event]


@pytest.mark.parametrize("event", [REMOVED, SAID], ids=["an address removed", "a word"])
def test_what_was_on_the_wire_is_told_ahead_of_what_followed_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, event: AddressRemoved | StateNotified
) -> None:
    told: list[Event | RouterGone] = []
    sources = telling(told, tmp_path)
    monkeypatch.setattr(sources._adverts, "hear", lambda: told.append(RESIGNED))
    hear = sources._of_kernel if event is REMOVED else sources._of_keepalived
    hear("r1", event)
    assert told == [RESIGNED, event]
