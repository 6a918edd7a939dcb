"""Fixtures of the tests of ``move``."""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.moving.stores_to_move import make_directory, move
from tests.support import postgres


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return asyncio.run(make_directory(tmp_path_factory.mktemp("made")))


@pytest.fixture
def directory(made_once: Path, tmp_path: Path) -> Path:
    """A data directory with a store that has everything, of a gateway that has stopped."""
    return Path(shutil.copytree(made_once, tmp_path / "source"))


@pytest.fixture
def url() -> Iterator[str]:
    """A database with an empty store."""
    taken = postgres.databases().take_url()
    yield taken
    postgres.databases().give_back(taken)


@pytest.fixture(scope="module")
def moved(made_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database with the same store; a move does not change it."""
    taken = postgres.databases().take_url()
    move(Path(shutil.copytree(made_once, tmp_path_factory.mktemp("moved") / "source")), taken, "postgres")
    yield taken
    postgres.databases().give_back(taken)
