"""`python -m tests.fuzz.inside TARGET RUNS SEED DIRECTORY`: atheris (libFuzzer), for one target.

What decodes is instrumented, so that the seeds are changed towards branches not yet seen.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

from tests.fuzz.seeds import words

with atheris.instrument_imports(include=["havrrpd", "tomllib"]):
    from tests.fuzz.targets import TARGETS

LIMIT = 20  # seconds for one input: instrumented and on a busy machine; else it is half a second
LONGEST = 2048  # bytes
MEMORY = 1024  # MB


def fuzz(name: str, runs: str, seed: str, directory: Path) -> None:
    """Does not return; an input that fails is left in the directory."""
    target = TARGETS[name]
    corpus, dictionary = directory / "corpus", directory / "words"
    corpus.mkdir()
    for number, data in enumerate(target.seeds()):
        (corpus / str(number)).write_bytes(data)
    known = sorted(words(target.seeds()))
    dictionary.write_text("".join(f'"{word}"\n' for word in (*known, "~SEQ(")))
    options = {
        "runs": runs,
        "seed": seed,
        "max_len": LONGEST,
        "timeout": LIMIT,
        "rss_limit_mb": MEMORY,
        "dict": dictionary,
        "artifact_prefix": f"{directory}/",
    }
    asked = [f"-{key}={value}" for key, value in options.items()]
    atheris.Setup([sys.argv[0], *asked, str(corpus)], target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    fuzz(sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4]))
