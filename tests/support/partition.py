"""A network of its own before a PostgreSQL server, which a test can turn into a black hole. Needs root and ``ip``.

A cut link would give errors at once. Here the packets of the client go to an address that nobody has, so that nothing
comes back, as with a switch that drops them.
"""

import itertools
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import psycopg

from tests.support.postgres import PostgresServer
from tests.support.tools import missing, tool

_PORT: Final = 5432
_START_SECONDS: Final = 20.0
_numbers = itertools.count(1)
# Runs in the network of the server; the file system is the same.
_PROXY: Final = """
import asyncio, sys

async def copy(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()

async def serve(reader, writer):
    up, down = await asyncio.open_unix_connection(sys.argv[2])
    await asyncio.gather(copy(reader, down), copy(up, writer))

async def main():
    server = await asyncio.start_server(serve, sys.argv[1], int(sys.argv[3]))
    await server.serve_forever()

asyncio.run(main())
"""


class Network:
    """Leads to a server by TCP, through a network that ``cut`` turns into a black hole."""

    def __init__(self, server: PostgresServer) -> None:
        """Make the network; skip the test if this process may not."""
        number = next(_numbers)
        self._ip = tool("ip", "/usr/sbin/ip")
        self._name, self._link = f"tandem-test-{number}", f"tandem{number}"
        self._address = f"10.231.{number}.2"
        made = subprocess.run([self._ip, "netns", "add", self._name], capture_output=True, text=True, check=False)
        if made.returncode != 0:
            missing(f"the right to make a network namespace ({made.stderr.strip()})")
        inside = f"{self._link}in"
        self._run("link", "add", self._link, "type", "veth", "peer", "name", inside)
        self._run("link", "set", inside, "netns", self._name)
        self._run("addr", "add", f"10.231.{number}.1/30", "dev", self._link)
        self._run("link", "set", self._link, "up")
        self._run("-n", self._name, "addr", "add", f"{self._address}/30", "dev", inside)
        self._run("-n", self._name, "link", "set", inside, "up")
        socket = server.folder / ".s.PGSQL.5432"
        command = [self._ip, "netns", "exec", self._name, sys.executable, "-c", _PROXY]
        self._proxy = subprocess.Popen([*command, self._address, str(socket), str(_PORT)], cwd=Path("/"))
        until = time.monotonic() + _START_SECONDS
        while True:
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=2).close()
            except psycopg.OperationalError:
                if time.monotonic() >= until:
                    raise
                time.sleep(0.02)
            else:
                return

    def url(self, database: str) -> str:
        """Return the connection string of a database, through the network."""
        return f"host={self._address} port={_PORT} user=tandem dbname={database}"

    def cut(self) -> None:
        """Let no packet of the client arrive, and tell nobody."""
        self._run(
            "neigh", "replace", self._address, "lladdr", "02:00:00:00:00:99", "dev", self._link, "nud", "permanent"
        )

    def heal(self) -> None:
        """Let packets arrive again."""
        self._run("neigh", "del", self._address, "dev", self._link)

    def remove(self) -> None:
        """End the network."""
        self._proxy.kill()
        self._proxy.wait()
        self._run("netns", "del", self._name)
        subprocess.run([self._ip, "link", "del", self._link], capture_output=True, check=False)

    def _run(self, *arguments: str) -> None:
        subprocess.run([self._ip, *arguments], check=True, capture_output=True)
