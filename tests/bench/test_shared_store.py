"""The measurement of gateways that share a store, on a small corpus with real services."""

import re

import pytest

from gateway_bench import shared_store
from tests.support.postgres import databases

SHORT = [
    "--documents",
    "50",
    "--gateways",
    "2",
    "--rounds",
    "1",
    "--seconds",
    "0.3",
    "--ingest",
    "100",
    "--queries",
    "5",
]


def test_it_measures_gateways_on_both_stores(capsys: pytest.CaptureFixture[str]) -> None:
    assert shared_store.main(["--store-url", databases().take_url(), *SHORT]) == 0
    out = capsys.readouterr().out
    rows = [line.strip("| ").split(" | ") for line in out.splitlines() if line.startswith("| ")][2:]
    assert [name for name, *_ in rows] == ["SQLite, 1 gateway", "PostgreSQL, 1 gateway", "PostgreSQL, 2 gateways"]
    assert rows[0][2] == "1.00"
    assert rows[1][6] == "+0.00"
    assert re.search(r"beside an ingest of \d+ documents a second, ratio \d", out)
