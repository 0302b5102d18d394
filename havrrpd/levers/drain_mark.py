"""The mark that this node is drained: a file that survives a restart of havrrpd and of the node."""

from __future__ import annotations

from pathlib import Path

NAME = "drained"


def is_drained(state_dir: Path) -> bool:
    return (state_dir / NAME).exists()


def mark(state_dir: Path, *, drained: bool) -> None:
    """Set or remove the mark. Raises OSError; then the mark is as it was."""
    path = state_dir / NAME
    if drained:
        state_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
        path.touch(mode=0o644)
    else:
        path.unlink(missing_ok=True)
