"""A store with rows of every kind, in a state that a test may copy, damage and open."""

import dataclasses
import shutil
from pathlib import Path

from tandem_gateway.adapters.sqlite.commit_watermark import FILE_NAME as MARK_NAME
from tandem_gateway.adapters.sqlite.connection import FILE_NAME
from tandem_gateway.adapters.sqlite.opening import open_checked
from tandem_gateway.adapters.sqlite.store import SqliteStore
from tandem_gateway.errors import StorageCorrupt, for_log
from tests.support.fakes import run
from tests.support.stores import NOW, document, dump, ingest, opened, pending_documents

Dump = dict[str, list[tuple[object, ...]]]
FILES = (FILE_NAME, f"{FILE_NAME}-wal", MARK_NAME)


def fill(store: SqliteStore) -> None:
    """About thirty documents, live and pending, in two collections; removals; running, finished and failed jobs."""

    async def filling() -> None:
        await ingest(store, [document(f"d{number}", f"text {number} " * 20) for number in range(25)], job_id="one")
        books = [document(f"b{number}") for number in range(3)] + [document("b3", text_format="markdown")]
        books.append(dataclasses.replace(document("b4"), source="shelf", source_hash="1"))
        await ingest(store, books, job_id="two", collection="books")
        for number in range(3):
            await store.delete("default", f"d{number}")
        await store.accept("three", "default", [document("bad"), document("d5", "newer"), document("late")], NOW)
        waiting = (await pending_documents(store, 1))[0]
        await store.queue.fail(waiting.passage_id, "it was refused")
        await store.accept("four", "default", [document("d6", "text 6 " * 20, '{"k": [1, "x"]}')], NOW)

    run(filling)


def make_closed(folder: Path) -> Dump:
    """Make a store in ``folder``, close it, and return its content."""
    folder.mkdir()
    with opened(folder) as store:
        fill(store)
    return dump(folder)


def make_killed(folder: Path, scratch: Path) -> Dump:
    """Leave in ``folder`` the files of a store after a kill, with a log that is not in the database yet."""
    scratch.mkdir()
    folder.mkdir()
    with opened(scratch) as store:
        fill(store)
        content = dump(scratch)
        for name in FILES:
            shutil.copyfile(scratch / name, folder / name)
    return content


def copy(source: Path, target: Path) -> Path:
    """Make ``target`` a fresh copy of a store's folder."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    return target


def opening(folder: Path) -> Dump | str:
    """Open a store as a startup does; return its content, or the message with which it is refused as corrupt."""
    try:
        connection, _ = open_checked(folder)
    except StorageCorrupt as refusal:
        return for_log(refusal)
    connection.close()
    return dump(folder)
