"""This repository: what is built of it, and what it tells people to do."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def make_deb(wheels: Path) -> Path:
    """By the one command that makes it, of wheels that are there already."""
    environment = {name: value for name, value in os.environ.items() if name != "MAKEFLAGS"}
    environment |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}
    done = subprocess.run(
        ["make", "--no-print-directory", "deb"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = (ROOT / "dist").glob("havrrpd_*.deb")
    return made


def copy_sources(directory: Path) -> None:
    """What git would clone, as far as anything is built of it."""
    unwanted = shutil.ignore_patterns(".*", "build", "dist", "tests", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, directory, ignore=unwanted)


def download(directory: Path) -> None:
    """Every wheel that `pip install .` needs, for where there is no network."""
    constraints = ("--constraint", "constraints.txt")
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", *constraints),
            *("--dest", str(directory), ".", *_build_requirements()),
        ],
        cwd=ROOT,
        check=True,
    )


def commands_of(heading: str, document: str = "docs/install.md") -> str:
    """The commands in a document below a heading."""
    text = (ROOT / document).read_text()
    found = re.search(rf"^## {re.escape(heading)}\n.*?^```\n(.*?)^```$", text, re.M | re.S)
    assert found is not None, heading
    return found[1]


def install_command() -> str:
    """What the README tells people to do after `make deb`."""
    making, installing = commands_of("Install", "README.md").splitlines()
    assert making == "make deb"
    return installing


def project() -> dict[str, Any]:
    """The table [project] of pyproject.toml."""
    return _pyproject("project")


def _build_requirements() -> list[str]:
    requirements: list[str] = _pyproject("build-system")["requires"]
    return requirements


def _pyproject(name: str) -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())[name]
    return table


def capabilities() -> set[str]:
    """Those that havrrpd.service leaves."""
    unit = (ROOT / "systemd/havrrpd.service").read_text()
    found = re.search(r"^CapabilityBoundingSet=(.*)$", unit, re.M)
    assert found is not None
    return set(found[1].split())
