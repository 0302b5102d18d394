"""What several of these tests need, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system import repository


@pytest.fixture(scope="session")
def deb(wheels: Path) -> Path:
    """The package."""
    return repository.make_deb(wheels)


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with every wheel that an installation by pip takes from an index."""
    directory = tmp_path_factory.mktemp("wheels")
    repository.download(directory)
    return directory
