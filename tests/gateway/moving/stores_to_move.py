"""Makes the stores of the tests of ``move``, moves them, and reads what arrived."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

from tandem_gateway.adapters.postgres.store import PostgresStore
from tandem_gateway.adapters.sqlite.key_store import SqliteKeyStore
from tandem_gateway.composition import stores
from tandem_gateway.settings import Settings
from tandem_tools.process import inherited_environment
from tests.gateway.moving import corpus
from tests.gateway.ports.backends import InSqlite
from tests.support.stores import dump

_COMMAND = """
import os, shutil, signal, sys
from tandem_gateway.adapters.moving import digests
from tandem_gateway import __main__
left = int(os.environ["TEST_KILLED_AFTER"])
def killing(function):
    def call(*args, **options):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return function(*args, **options)
    return call
owner, name = {
    "row": (digests.Digest, "add"),
    "link": (os, "link"),
    "remove": (shutil, "rmtree"),
}[os.environ["TEST_KILLED_AT"]]
setattr(owner, name, killing(getattr(owner, name)))
sys.exit(__main__.main())
"""


async def make_directory(folder: Path) -> Path:
    """Return a data directory with a store that has everything, of a gateway that has stopped; ``folder`` is empty."""
    backend = InSqlite(folder)
    await corpus.fill(backend, backend.open(corpus.LIMITS))
    backend.close()
    data_dir = folder / "0"
    keys = SqliteKeyStore(data_dir)
    await corpus.fill_keys(keys)
    keys.close()
    corpus.mark_removed(data_dir, "doomed")
    return data_dir


def open_postgres(url: str) -> PostgresStore:
    """Open a store as a gateway does."""
    return PostgresStore(url, limits=corpus.LIMITS, max_queued=100, write_timeout=30.0, batch_bytes=1 << 20)


def move(data_dir: Path, url: str, to: str, *, discard: bool = False) -> list[str]:
    """Move a store in this process, and return what the command tells."""
    lines: list[str] = []
    stores.move(Settings(data_dir=data_dir, store_url=url), to, lines.append, discard=discard)
    return lines


def command(
    data_dir: Path, url: str, *arguments: str, at: str = "", after: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run the gateway's command line; kill it when it has called a function ``after`` times, if ``at`` names one."""
    given = {"TANDEM_STORE_URL": url, "TANDEM_DATA_DIR": str(data_dir), "PYTHONPATH": os.pathsep.join(sys.path)}
    program = ["-c", _COMMAND] if at else ["-m", "tandem_gateway"]
    return subprocess.run(
        [sys.executable, *program, *arguments],
        env=inherited_environment() | given | {"TEST_KILLED_AT": at, "TEST_KILLED_AFTER": str(after)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def content(data_dir: Path) -> dict[str, Any]:
    """Return every row of a directory, but what a move does not keep."""
    found: dict[str, Any] = dump(data_dir)
    assert len(found.pop("identity")) == 1
    found["counters"] = {name: value for name, value, _ in found["counters"] if value and name != "retry"}
    connection = sqlite3.connect(data_dir / "access.db")
    for table in ("access", "keys", "usage"):
        found[table] = connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()
    connection.close()
    found["secret"] = (data_dir / "access.secret").read_bytes()
    return found
