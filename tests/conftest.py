"""Fixtures that every kind of test shares."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def model_dir() -> Path:
    """The prepared all-MiniLM-L6-v2, which ``make test`` prepares before it calls pytest."""
    folder = Path(os.environ.get("TANDEM_TEST_MODEL_DIR", REPOSITORY / "models" / "all-MiniLM-L6-v2"))
    if not (folder / "manifest.json").is_file():
        pytest.fail(f"no prepared model in {folder}; run: make model")
    return folder
