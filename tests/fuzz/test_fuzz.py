"""A short run of each target, always the same: `make fuzz` makes a million inputs each."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.fuzz.seeds import ROOT
from tests.fuzz.targets import TARGETS

RUNS = 20_000
FEWER = {"keepalived_conf": 3_000}  # one input takes a millisecond and more


@pytest.mark.parametrize("name", TARGETS)
def test_no_bytes_bring_out_more_than_a_documented_error(name: str) -> None:
    runs = str(FEWER.get(name, RUNS))
    argv = [sys.executable, "-m", "tests.fuzz", name, "--runs", runs]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{name}: {runs} inputs" in done.stdout
