"""Deleted text also leaves the keyword index's file and its log."""

import asyncio
import shutil
import sqlite3
from pathlib import Path

import pytest

from tandem_gateway.adapters.sqlite.checkpoint_schedule import Delays
from tandem_gateway.adapters.sqlite.lexical import cache as cache_module
from tandem_gateway.adapters.sqlite.lexical.file import FILE_NAME as KEYWORD_FILE
from tandem_gateway.adapters.sqlite.log_truncation import Outcome
from tests.gateway.store.erasing import (
    AT_ONCE,
    KEYWORD_LOG,
    LOG,
    SECRET,
    emptied,
    files_with,
    finish,
    gone,
    heard,
)
from tests.gateway.store.lexical import follow, lexical_thread
from tests.support.fakes import WAIT_SECONDS, answer_limits
from tests.support.stores import document, ingest, opened


async def test_deleted_text_is_in_no_file_of_the_data_directory(tmp_path: Path):
    with opened(tmp_path, delays=AT_ONCE) as store:
        follower = follow(tmp_path)
        await ingest(store, [document(f"kept {number}", f"ordinary {number}") for number in range(5)])
        # zlib cannot shorten the first text, so a search for it in the file would find it in the compressed text too.
        await ingest(store, [document("gone", "zyzzyva"), document("long", SECRET * 100)], "later")
        finish(follower)
        assert len(files_with(tmp_path)) >= 2
        await store.delete("default", "gone")
        await store.delete("default", "long")
        finish(follower)
        assert (tmp_path / KEYWORD_LOG).stat().st_size == 0
        await gone(tmp_path)
        follower.close()


async def test_the_keyword_index_does_not_wait_for_a_reader_and_tries_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cache_module, "_DELAYS", AT_ONCE)
    outcomes: list[Outcome] = []
    with opened(tmp_path, delays=AT_ONCE) as store:
        await ingest(store, [document("gone", SECRET)])
        lexical = lexical_thread(tmp_path, answer_limits(), on_truncation=outcomes.append)
        lexical.start().result(WAIT_SECONDS)
        assert len(await lexical.search("default", "zyzzyva", 1, timeout=WAIT_SECONDS)) == 1
        await heard(outcomes, "done")  # the new file's first log
        outcomes.clear()
        reader = sqlite3.connect(tmp_path / KEYWORD_FILE, isolation_level=None)
        reader.execute("BEGIN")
        assert reader.execute("SELECT documents FROM collections").fetchall() == [(1,)]
        await store.delete("default", "gone")
        lexical.notify()
        await heard(outcomes, "busy")
        # The thread does not wait for the reader: it still answers.
        assert await lexical.search("default", "zyzzyva", 1, timeout=WAIT_SECONDS) == []
        await emptied(tmp_path / LOG)
        assert files_with(tmp_path) != []

        reader.execute("COMMIT")
        reader.close()
        await heard(outcomes, "done")
        await gone(tmp_path)
        await asyncio.to_thread(lexical.close)


async def test_a_reader_costs_the_keyword_index_no_more_than_an_attempt_a_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cache_module, "_DELAYS", Delays(quiet=0.0, latest=0.0, retry=1e6))
    outcomes: list[Outcome] = []
    with opened(tmp_path) as store:
        await ingest(store, [document("gone", SECRET)])
        follower = follow(tmp_path, on_truncation=outcomes.append)
        finish(follower)
        assert follower.idle_seconds is None
        outcomes.clear()
        reader = sqlite3.connect(tmp_path / KEYWORD_FILE, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT documents FROM collections").fetchall()
        await store.delete_collection("default")
        finish(follower)
        finish(follower)
        assert outcomes == ["busy"]
        assert follower.idle_seconds is not None
        assert follower.idle_seconds > 0
        reader.close()
        follower.close()


async def test_deleted_text_of_a_killed_process_leaves_the_keyword_indexs_log_after_the_next_start(tmp_path: Path):
    data, left = tmp_path / "data", tmp_path / "left"
    data.mkdir()
    with opened(data) as store:
        follower = follow(data)
        await ingest(store, [document("kept")])
        finish(follower)
        shutil.copytree(data, left)
        follower.close()
    assert (left / KEYWORD_LOG).stat().st_size > 0
    follower = follow(left)
    finish(follower)
    assert (left / KEYWORD_LOG).stat().st_size == 0
    follower.close()
