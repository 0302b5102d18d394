"""Everything that is read of a node: thin, and read-only. Nothing is started, and nothing waits."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from havrrpd import __version__
from havrrpd.config import Config
from havrrpd.doctor.facts import Directory, Facts
from havrrpd.doctor.looking import daemon, keepalived, kernel, neutron
from havrrpd.levers import drain_mark

NEUTRON = Path("/etc/neutron/plugins/ml2")
_TMPFILES = ("/etc", "/run", "/usr/local/lib", "/usr/lib")  # tmpfiles.d(5)
_GONE_AFTER_BOOT = ("/run/", "/var/run/", "/tmp/", "/dev/shm/")


def look(config: Config, config_problems: tuple[str, ...], socket_path: str) -> Facts:
    """The facts of this machine: a quarter of a second, and 3 ms a router."""
    seen = daemon.look(socket_path)
    found = keepalived.look(config, seen)
    return Facts(
        config=config,
        config_problems=config_problems,
        as_root=os.geteuid() == 0,
        daemon=seen,
        keepalived=found,
        installed=_is_installed(),
        directories=_directories(config),
        drained_for=_drained_for(config),
        kernel=kernel.look(),
        neutron=neutron.look(NEUTRON),
        version=__version__,
    )


def _is_installed() -> bool:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    return shutil.which("keepalived", path=path) is not None


def _directories(config: Config) -> tuple[Directory, ...]:
    paths = (config.paths.notify_dir, config.paths.lever_dir)
    return tuple(
        Directory(path, os.path.isdir(path), is_made_at_boot(path)) for path in dict.fromkeys(paths)
    )


def is_made_at_boot(path: str, roots: tuple[str, ...] = _TMPFILES) -> bool:
    """Whether a reboot leaves it, or tmpfiles.d makes it again."""
    if not f"{path}/".startswith(_GONE_AFTER_BOOT):
        return True
    return any(
        line.split()[1].rstrip("/") == path.rstrip("/")
        for root in roots
        for file in sorted(Path(root, "tmpfiles.d").glob("*.conf"))
        for line in file.read_text(errors="replace").splitlines()
        if line[:1] in ("d", "D") and len(line.split()) > 1
    )


def _drained_for(config: Config) -> float | None:
    try:
        since = os.stat(Path(config.paths.state_dir, drain_mark.NAME)).st_mtime
    except OSError:
        return None
    return max(0.0, time.time() - since)
