"""Data directories of older releases, and what they have."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from tandem_gateway.adapters.sqlite.connection import FILE_NAME

DATA = Path(__file__).parent / "data"
# Each has live and pending documents, a deleted one and a failed one. The second also has a snapshot with a graph, and
# a keyword index. Each was written by the last release with its schema version.
VERSIONS = [1, 2, 3, 4, 5, 6, 7]


def copy_of(version: int, folder: Path) -> Path:
    return Path(shutil.copytree(DATA / f"schema-{version}", folder / "data"))


def version(data_dir: Path) -> int:
    with closing(sqlite3.connect(data_dir / FILE_NAME)) as connection:
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        return int(found)


def dump_raw(data_dir: Path) -> list[str]:
    with closing(sqlite3.connect(data_dir / FILE_NAME)) as connection:
        return list(connection.iterdump())
