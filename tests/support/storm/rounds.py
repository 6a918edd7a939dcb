"""The rounds of a storm: clients at work, the end of the gateway at a random moment, a restart, a check."""

import collections
import contextlib
import itertools
import os
import random
import shutil
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tandem_gateway.adapters.sqlite.connection import FILE_NAME
from tandem_tools.readiness import get
from tests.support.maintenance import assert_sound
from tests.support.processes import helpers_of
from tests.support.stack import gateway_process, wait_until
from tests.support.storm import earlier
from tests.support.storm.check import check
from tests.support.storm.model import CollectionModel, Violation
from tests.support.storm.writer import LargeWriter, Writer

SETTINGS = {
    "TANDEM_EXACT_BELOW": "20",
    "TANDEM_SNAPSHOT_CHANGES": "50",
    "TANDEM_SNAPSHOT_SECONDS": "0.5",
    "TANDEM_SCRUB_SECONDS": "1",
}
"""Small collections get graphs, snapshots are frequent, and the scrub always runs."""
KINDS = {"kill": 40, "kill at start": 15, "kill at stop": 10, "stop": 15, "kill helper": 10, "upgrade": 15}
"""Kind of a round → its weight."""
UPGRADED = 4000
"""Documents of the store that is upgraded."""

_SMALL_COLLECTIONS = 4
_STORM_SECONDS = (0.2, 3.0)
_START_SECONDS = 2.0
_STOP_SECONDS = 0.5
_UPGRADE_SECONDS = 0.3
_VERIFIED_STOPS = 0.3


class Storm:
    """A gateway that runs from round to round, and its clients; a context manager."""

    def __init__(self, folder: Path, embedder_url: str, counts: collections.Counter[str]) -> None:
        self._data_dir = folder / "data"
        self._process, self._client = gateway_process(folder, self._data_dir, embedder_url, env=SETTINGS)
        self._counts = counts
        numbers = itertools.count(1)
        small = [Writer(CollectionModel(f"small-{number}"), numbers) for number in range(_SMALL_COLLECTIONS)]
        self._writers = [*small, LargeWriter(CollectionModel("large"), numbers)]

    @property
    def documents(self) -> int:
        """Number of documents after the last check."""
        return sum(len(writer.model.world or {}) for writer in self._writers)

    def __enter__(self) -> Self:
        self._process.start()
        try:
            self._process.wait_ready()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def run(self, kind: str, draw: random.Random) -> None:
        """Run a round of one of ``KINDS``.

        Raises:
            Violation: the gateway broke a promise.
        """
        with self._writing(draw):
            if kind == "kill helper":
                self._kill_helpers(draw.uniform(*_STORM_SECONDS))
            else:
                time.sleep(draw.uniform(*_STORM_SECONDS))  # a random delay, not synchronisation
            self._process.check()
            if kind == "stop":
                self._stop()
            elif kind == "kill at stop":
                self._process.signal(signal.SIGTERM)
                time.sleep(draw.uniform(0, _STOP_SECONDS))
                self._kill()
            elif kind != "kill helper":
                self._kill()
        if kind == "stop" and draw.random() < _VERIFIED_STOPS:
            assert_sound(self._data_dir)
        if kind == "kill at start":
            for _ in range(draw.randint(1, 3)):
                self._process.start()
                time.sleep(draw.uniform(0, _START_SECONDS))
                self._kill()
        if kind != "kill helper":
            self._process.start().wait_ready()
        self._check(draw)

    def finish(self, draw: random.Random) -> None:
        """Read every document, wait for the purge, stop, and verify the store.

        Raises:
            Violation: the gateway broke a promise.
        """
        self._check(draw, whole=True)
        wait_until(lambda: self._rows("collections", "removed = 1") == 0, "the end of the purge")
        self._stop()
        for table in ("documents", "passages", "vectors"):
            if self._rows(table) != self.documents:
                raise Violation(f"{self._rows(table)} rows of {table} for {self.documents} documents")
        if self._rows("waiting"):
            raise Violation("jobs still wait for documents")
        assert_sound(self._data_dir)

    @contextlib.contextmanager
    def _writing(self, draw: random.Random) -> Iterator[None]:
        """Let the clients work; at the end wait until each has ended or has got no reply."""
        stop = threading.Event()
        with ThreadPoolExecutor(len(self._writers)) as threads:
            running = [
                threads.submit(writer.run, self._client.url, random.Random(draw.random()), stop)
                for writer in self._writers
            ]
            try:
                yield
            finally:
                stop.set()
        for each in running:
            each.result()
        self._counts["acknowledged writes"] = sum(writer.acknowledged for writer in self._writers)
        self._counts["unanswered writes"] = sum(writer.unanswered for writer in self._writers)

    def _check(self, draw: random.Random, *, whole: bool = False) -> None:
        for writer in self._writers:
            check(self._client, [writer.model], writer.jobs, draw, whole=whole)

    def _kill(self) -> None:
        if self._process.status not in (None, 0):
            raise Violation(f"the gateway ended by itself with status {self._process.status}")
        self._process.kill()
        self._counts["kills"] += 1

    def _stop(self) -> None:
        status = self._process.terminate()
        if status != 0:
            raise Violation(f"the gateway ended with status {status} after SIGTERM")
        self._counts["stops"] += 1

    def _kill_helpers(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for helper in helpers_of(self._process):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(helper, signal.SIGKILL)
                    self._counts["helper kills"] += 1
            time.sleep(0.05)

    def _rows(self, table: str, condition: str = "1") -> int:
        path = self._data_dir / FILE_NAME
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            found: Any = connection.execute(f"SELECT count(*) FROM {table} WHERE {condition}").fetchone()[0]
        return int(found)

    def _close(self) -> None:
        self._client.close()
        self._process.close()


class UpgradeRound:
    """The upgrade of a store of schema 2 that kills interrupt."""

    def __init__(self, folder: Path, embedder_url: str, counts: collections.Counter[str]) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        self._data_dir = folder / "data"
        self._process, self._client = gateway_process(folder, self._data_dir, embedder_url, env=SETTINGS)
        self._counts = counts

    def run(self, draw: random.Random) -> None:
        """Make the store, kill its upgrade a few times, let it end, and check the content.

        Raises:
            Violation: the gateway broke a promise.
        """
        earlier.make_store(self._data_dir, UPGRADED)
        models, jobs = earlier.content_of(self._data_dir)
        try:
            kills = draw.randint(1, 4)
            while kills and not self._told("upgraded the store"):
                self._kill(draw)
                kills -= 1
            self._process.start().wait_ready()
            check(self._client, models, jobs, draw)
            writer = Writer(models[0], itertools.count(UPGRADED + 1))
            stop = threading.Event()
            threading.Timer(0.5, stop.set).start()
            writer.run(self._client.url, draw, stop)
            check(self._client, models, writer.jobs, draw)
            if self._process.terminate() != 0:
                raise Violation(f"the gateway ended with status {self._process.status} after SIGTERM")
            if left := [path.name for path in self._data_dir.glob(f"{FILE_NAME}.schema-*")]:
                raise Violation(f"the upgrade left its copy: {left}")
            assert_sound(self._data_dir)
        finally:
            self._client.close()
            self._process.close()

    def _kill(self, draw: random.Random) -> None:
        begun = self._told("upgrading the store")
        self._process.start()
        if draw.random() < 0.8:
            wait_until(lambda: self._told("upgrading the store") > begun or self._is_ready(), "an upgrade, or its end")
            time.sleep(draw.uniform(0, _UPGRADE_SECONDS))
        else:
            time.sleep(draw.uniform(0, _START_SECONDS))
        self._process.check()
        self._process.kill()
        self._counts["kills"] += 1
        if self._told("upgrading the store") > begun and not self._told("upgraded the store"):
            self._counts["interrupted upgrades"] += 1

    def _told(self, message: str) -> int:
        return self._process.log_text().count(f'"{message}"')

    def _is_ready(self) -> bool:
        self._process.check()
        return get(f"{self._client.url}/readyz")[0] == 200
