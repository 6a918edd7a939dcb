"""PgBouncer in its transaction mode, before the PostgreSQL server of the tests of a process."""

import atexit
import functools
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final

import psycopg

from tests.support import postgres
from tests.support.tools import tool

_START_SECONDS: Final = 30.0
_PORT: Final = 6432
_CONFIG: Final = """
[databases]
* = host={server} user=tandem
[pgbouncer]
listen_addr =
unix_socket_dir = {folder}
listen_port = {port}
auth_type = any
pool_mode = transaction
default_pool_size = 8
max_client_conn = 500
server_idle_timeout = 5
query_wait_timeout = 20
"""


class PgBouncer:
    """A running PgBouncer; it ends with ``remove``."""

    def __init__(self, server: postgres.PostgresServer) -> None:
        """Start it before a server, and wait until it answers."""
        program = tool("pgbouncer", "/usr/sbin/pgbouncer")
        self.folder = Path(tempfile.mkdtemp(prefix="tandem-pgbouncer-"))
        config = self.folder / "pgbouncer.ini"
        config.write_text(_CONFIG.format(server=server.folder, folder=self.folder, port=_PORT))
        user = postgres.other_user()
        if user is not None:
            shutil.chown(self.folder, user)
            shutil.chown(config, user)
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [program, "--quiet", str(config)],
                stdout=subprocess.DEVNULL,
                stderr=log,
                user=user,
                cwd=self.folder,
                start_new_session=True,
            )
        until = time.monotonic() + _START_SECONDS
        while True:
            try:
                psycopg.connect(self.through(server.url())).close()
            except psycopg.OperationalError:
                if time.monotonic() >= until or self._process.poll() is not None:
                    raise RuntimeError((self.folder / "log").read_text()) from None
                time.sleep(0.02)
            else:
                return

    def through(self, url: str) -> str:
        """Return the connection string that leads to a database of the server through PgBouncer."""
        return psycopg.conninfo.make_conninfo(url, host=self.folder, port=_PORT)

    def remove(self) -> None:
        """Stop it and remove its folder."""
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


@functools.cache
def bouncer() -> PgBouncer:
    """Return the PgBouncer before the server of this process; it starts with the first call."""
    made = PgBouncer(postgres.server())
    atexit.register(made.remove)
    return made
