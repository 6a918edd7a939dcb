"""The embedded server of Milvus, which speaks the protocol of Milvus, for the tests of a process."""

import atexit
import functools
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from pymilvus import MilvusClient, MilvusException

from tandem_tools.process import free_port

_START_SECONDS: Final = 60.0


class MilvusServer:
    """A server with its own data folder; ``url`` leads to it."""

    def __init__(self) -> None:
        """Make the folder and start the server."""
        self.folder = Path(tempfile.mkdtemp(prefix="tandem-milvus-"))
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.start()

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        program = Path(sys.executable).parent / "milvus-lite"
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    program,
                    "server",
                    "--data-dir",
                    self.folder / "data",
                    "--host",
                    "127.0.0.1",
                    "--port",
                    str(self._port),
                ],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until = time.monotonic() + _START_SECONDS
        while True:
            try:
                client = MilvusClient(uri=self.url, timeout=1.0, dedicated=True)
                client.list_collections(timeout=1.0)
                client.close()
            except MilvusException:
                if time.monotonic() >= until or self._process.poll() is not None:
                    raise RuntimeError((self.folder / "log").read_text()) from None
                time.sleep(0.05)
            else:
                return

    def kill(self) -> None:
        """End the server at once."""
        self._process.kill()
        self._process.wait()

    def remove(self) -> None:
        """End the server and remove its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


@functools.cache
def server() -> MilvusServer:
    """Return the server of this process; it starts with the first call."""
    made = MilvusServer()
    atexit.register(made.remove)
    return made
