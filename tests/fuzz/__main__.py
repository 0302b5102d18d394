"""`python -m tests.fuzz [--runs N] [--seed S] [TARGET...]`: each target in a process of its own.

An input that raises, or takes too long, ends the run of its target, and is left in the directory
that is named.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.targets import TARGETS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("targets", nargs="*", default=list(TARGETS), metavar="TARGET")
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    if unknown := set(asked.targets) - set(TARGETS):
        parser.error(f"no target {', '.join(sorted(unknown))}: there are {', '.join(TARGETS)}")
    failed = [name for name in asked.targets if not holds(name, asked.runs, asked.seed)]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def holds(name: str, runs: int, seed: int) -> bool:
    """Whether no input failed. libFuzzer ends its process, whichever way it goes."""
    directory = Path(tempfile.mkdtemp(prefix=f"havrrpd-fuzz-{name}-"))
    argv = [sys.executable, "-m", "tests.fuzz.inside", name, str(runs), str(seed), str(directory)]
    began = time.monotonic()
    done = subprocess.run(argv, capture_output=True, text=True, errors="replace", check=False)
    said = (done.stdout + done.stderr).splitlines()
    if done.returncode != 0 or not any(line.startswith(f"Done {runs} ") for line in said):
        wanted = [line for line in said if not line.startswith("INFO: ")]
        print(f"{name}: FAILED, see {directory}", *wanted[-60:], sep="\n", file=sys.stderr)
        return False
    shutil.rmtree(directory)
    print(f"{name}: {runs} inputs in {time.monotonic() - began:.0f} s", flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main())
