"""Debian 12 as a directory, to boot or to make an image of: made once, kept in a cache.

Its packages come from where this machine has its own from: the mirror and how to reach it are
copied from apt's configuration here, when the directory is made.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

SUITE = "bookworm"
# zsh and fish for the completion. Without python3-venv no installation by pip.
PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "keepalived", "iproute2", "procps"),
    *("python3", "python3-venv", "zsh", "fish"),
)
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "havrrpd-test"
_REACHING = re.compile(r"Acquire::(http|https|Check-|Languages|Retries)")


def minimal() -> Path:
    """What debootstrap calls minbase: the stem of an image."""
    return _cached(f"{SUITE}-minbase", _debootstrap)


def with_systemd() -> Path:
    """The same, with PACKAGES."""
    sign = hashlib.sha256(" ".join(PACKAGES).encode()).hexdigest()[:12]
    return _cached(f"{SUITE}-systemd-{sign}", _install_more)


def _cached(name: str, make: Callable[[Path], None]) -> Path:
    """The directory of that name; a rename makes it, so that half of one is never found."""
    finished = _CACHE / name
    if finished.is_dir():
        return finished
    _CACHE.mkdir(parents=True, exist_ok=True)
    working = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=_CACHE))
    try:
        make(working / "tree")
        (working / "tree").rename(finished)
    finally:
        shutil.rmtree(working)
    return finished


def _debootstrap(tree: Path) -> None:
    quick = tree / "etc/dpkg/dpkg.cfg.d/quick"
    quick.parent.mkdir(parents=True)
    quick.write_text("force-unsafe-io\n")  # as the image of that name has it
    _alone(["debootstrap", "--variant=minbase", SUITE, str(tree), _mirror()])
    (tree / "etc/apt/apt.conf.d/90-reaching").write_text(_how_to_reach())


def _install_more(tree: Path) -> None:
    subprocess.run(["cp", "-a", str(minimal()), str(tree)], check=True)
    script = """
        mount -t proc proc "$1/proc"
        cat /etc/resolv.conf > "$1/etc/resolv.conf"
        cat /etc/hosts > "$1/etc/hosts"
        tree=$1; shift
        exec chroot "$tree" sh -euc '
            export DEBIAN_FRONTEND=noninteractive
            apt-get update -qq
            apt-get install -y -qq --no-install-recommends "$@"
            apt-get clean' sh "$@"
    """
    _alone(["sh", "-euc", script, "sh", str(tree), *PACKAGES])


def _alone(argv: Sequence[str]) -> None:
    """Run with mounts and processes of its own, so that nothing of it stays behind."""
    isolated = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", *argv]
    done = subprocess.run(
        isolated, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, f"{argv[0]}: {done.stdout[-2000:]}\n{done.stderr[-2000:]}"


def _mirror() -> str:
    """The first that apt here has for the suite."""
    targets = ("Identifier: Packages", f"Codename: {SUITE}", "Component: main")
    said = _said(["apt-get", "indextargets", "--format", "$(REPO_URI)", *targets])
    return said.splitlines()[0]


def _how_to_reach() -> str:
    lines = _said(["apt-config", "dump"]).splitlines()
    return "".join(f"{line}\n" for line in lines if _REACHING.match(line))


def _said(argv: Sequence[str]) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout
