"""The wall clock jumps: all durations use a monotonic clock, so nothing is late, lost or out of order."""

import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.ingesting import in_batches
from tests.support.maintenance import assert_sound
from tests.support.processes import ServiceProcess
from tests.support.samples import RESTLESS
from tests.support.searching import SearchLoad
from tests.support.stack import Client, gateway_process, service_url, wait_until
from tests.support.texts import distinct_texts

DAY = 86_400
# An interpreter whose wall clock is ahead by the seconds in a file; the service takes it for the system's clock.
_PYTHON = """#!{python}
import runpy, sys, time
real = time.time
def ahead():
    return float(open({offset!r}).read() or 0)
time.time = lambda: real() + ahead()
time.time_ns = lambda: int(time.time() * 1e9)
sys.argv = sys.argv[2:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


class Clock:
    """The gateway's wall clock."""

    def __init__(self, folder: Path) -> None:
        self._offset = folder / "offset"
        self.jump_to(0)
        self.python = folder / "python"
        self.python.write_text(_PYTHON.format(python=sys.executable, offset=str(self._offset)))
        self.python.chmod(0o755)

    def jump_to(self, seconds: float) -> None:
        # Replace the file in one step: a reader must not see an empty file.
        fresh = self._offset.with_suffix(".new")
        fresh.write_text(str(seconds))
        fresh.replace(self._offset)


@pytest.fixture
def gateway(tmp_path: Path, embedder: ServiceProcess) -> Iterator[tuple[ServiceProcess, Client, Clock]]:
    clock = Clock(tmp_path)
    environment = {"TANDEM_QUERY_CACHE_SIZE": "0", **RESTLESS}
    process, client = gateway_process(tmp_path, tmp_path / "data", service_url(embedder), env=environment)
    process.command[0] = str(clock.python)
    with process:
        yield process, client, clock
    client.close()


def test_jumps_of_days_both_ways_fail_no_search_and_keep_the_order(
    gateway: tuple[ServiceProcess, Client, Clock], tmp_path: Path
) -> None:
    process, client, clock = gateway
    batches = in_batches(distinct_texts(160, seed=60), 40)
    client.ingest_and_wait(batches[0])
    with SearchLoad(client.url) as load:
        for batch, days in zip(batches[1:], (3, -4, 0), strict=True):
            clock.jump_to(days * DAY)
            job = client.ingest_and_wait(batch)
            finished = datetime.fromisoformat(job.finished_at or "")
            assert abs((finished - datetime.fromtimestamp(time.time() + days * DAY, UTC)).total_seconds()) < 3600
            assert client.found(batch[0]["text"], 1) == [batch[0]["id"]]
            load.go_on(20)
        # The newer version wins, whatever the clock shows.
        clock.jump_to(-30 * DAY)
        client.ingest_and_wait([{"id": "doc-0", "text": "an entirely new text about harbours"}])
        assert client.search("an entirely new text about harbours", 1).results[0].id == "doc-0"
    assert load.failures == []
    wait_until(lambda: client.metric("tandem_gateway_snapshots_total", {"outcome": "saved"}) >= 1, "a snapshot")
    assert client.metric("tandem_gateway_snapshots_total", {"outcome": "failed"}) == 0
    # After a start with the clock set back, search finds every document.
    assert process.terminate() == 0
    process.start().wait_ready()
    assert client.health().document_count == 160
    assert client.found("an entirely new text about harbours", 1) == ["doc-0"]
    assert process.terminate() == 0
    assert_sound(tmp_path / "data")
    process.start().wait_ready()
