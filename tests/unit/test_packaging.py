"""What is delivered beside the program: man pages, completion, the hardening of the service."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from havrrpd import __version__
from havrrpd.capabilities import NEEDED
from package import manual
from tests.system import repository

UNIT = repository.ROOT / "systemd" / "havrrpd.service"
EXPOSED_AT_MOST = 3.5  # of 10
GENERATED = manual.files()
PAGES = [path for path in GENERATED if path.parent.name == "man"]
SAMPLE = """\
# What this file is.

# What the table is.
[table]
# What the key is: -1 is "none".
#key = 1
# What both are.
#one = "a"
#two = "b"

# Tables [[more]] are as this one:
#
#     [[more]]
#     .dot = 1
"""


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.name)
def test_what_is_generated_is_current(path: Path) -> None:
    assert path.read_text() == GENERATED[path], "run `make manual`"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_man_page_is_formatted_without_a_warning(path: Path) -> None:
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-z", str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""


def test_tables_keys_and_examples_become_sections_of_the_page() -> None:
    assert manual.config_page(SAMPLE).splitlines()[1:] == [
        ".SH NAME",
        "havrrpd.toml \\- configuration of havrrpd",
        ".SH DESCRIPTION",
        ".PP",
        "What this file is.",
        '.SH "[table]"',
        ".PP",
        "What the table is.",
        ".TP",
        ".B key = 1",
        "What the key is: \\-1 is \\(dqnone\\(dq.",
        ".TP",
        ".B one = \\(dqa\\(dq",
        ".TQ",
        ".B two = \\(dqb\\(dq",
        "What both are.",
        '.SH "[[more]]"',
        ".PP",
        "Tables [[more]] are as this one:",
        ".PP",
        ".RS",
        ".EX",
        "[[more]]",
        "\\&.dot = 1",
        ".EE",
        ".RE",
        ".SH SEE ALSO",
        "havrrpd(1)",
    ]


def test_every_key_of_the_configuration_is_on_its_page() -> None:
    keys = re.findall(r"(?m)^#(\w+) = ", manual.CONFIG.read_text())
    page = manual.config_page(manual.CONFIG.read_text())
    assert re.findall(r"(?m)^\.B (\w+) = ", page) == keys


def test_the_service_is_exposed_no_more_than_is_promised() -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(UNIT)],
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.search(r"exposure level for havrrpd\.service: ([\d.]+)", done.stdout)
    assert found is not None
    assert float(found[1]) <= EXPOSED_AT_MOST, done.stdout


def test_the_service_has_every_capability_that_the_doctor_looks_for() -> None:
    assert {name for name, _ in NEEDED.values()} <= repository.capabilities()


def test_the_version_is_the_projects() -> None:
    assert __version__ == repository.project()["version"]
