"""What the wiring itself decides: in which order two sources are heard."""

from __future__ import annotations

import os
import subprocess
from ipaddress import ip_interface
from pathlib import Path

from havrrpd.config import load
from havrrpd.core.messages import AddressRemoved, Event, KeepalivedEnded, RouterGone
from havrrpd.sources.keepalived.loaded import on_disk
from havrrpd.sources.keepalived.routers import Process
from havrrpd.wiring import Sources

REMOVED = AddressRemoved("ha-1", ip_interface("169.254.0.1/24"))


def test_a_death_is_told_ahead_of_the_addresses_that_the_successor_removes(tmp_path: Path) -> None:
    told: list[Event | RouterGone] = []
    config = tmp_path / "havrrpd.toml"
    config.write_text("")
    sources = Sources(lambda router, event: told.append(event), load(str(config)))
    keepalived = subprocess.Popen(["sleep", "60"])
    try:
        router = sources._keepalived._registry.add("qrouter-r1", "/keepalived.conf")
        pidfd, netns = os.pidfd_open(keepalived.pid), Path("/proc/self/ns/net")
        loaded = on_disk(tmp_path / "keepalived.conf")
        router.process = Process(keepalived.pid, pidfd, (0, 0), netns, loaded, None)
        sources._keepalived._pidfds.watch(pidfd, router)
        sources._of_kernel(router.id, REMOVED)
        assert told == [REMOVED]
    finally:
        keepalived.kill()
        keepalived.wait()
    sources._of_kernel(router.id, REMOVED)
    assert told == [REMOVED, KeepalivedEnded(keepalived.pid), REMOVED]
