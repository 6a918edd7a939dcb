"""A store of schema 2, large enough that a kill can interrupt its upgrade, and the content that it must have."""

import contextlib
import json
import shutil
import sqlite3
import time
from pathlib import Path

from tandem_gateway.adapters.sqlite import schema
from tandem_gateway.adapters.sqlite.connection import FILE_NAME
from tandem_gateway.adapters.sqlite.earlier_schemas import CHECKSUMS_OF
from tandem_gateway.use_cases.validation import content_hash
from tests.support.fakes import vector_of
from tests.support.storm.model import CollectionModel, Content, JobModel

SCHEMA_2 = Path(__file__).parents[2] / "gateway" / "store" / "data" / "schema-2"
NO_NUMBER = -1
"""``Content.n`` of a document without metadata ``n``."""


def make_store(data_dir: Path, documents: int) -> None:
    """Copy the store of the release with schema 2, and add live documents as that release stored them."""
    shutil.copytree(SCHEMA_2, data_dir)
    with contextlib.closing(sqlite3.connect(data_dir / FILE_NAME)) as connection, connection:
        schema.register(connection)
        counters = dict(connection.execute("SELECT name, value FROM counters"))
        for number in range(1, documents + 1):
            text, metadata = f"an added text, number {number}", json.dumps({"n": number}, separators=(",", ":"))
            connection.execute(
                "INSERT INTO documents (row_id, collection_id, doc_id, text, metadata, content_hash, change, vector) "
                "VALUES (?, 1, ?, ?, ?, ?, ?, ?)",
                (
                    counters["row"] + number,
                    f"added-{number}",
                    text,
                    metadata,
                    content_hash(text, metadata.encode()),
                    counters["change"] + number,
                    vector_of(text).astype("<f4").tobytes(),
                ),
            )
        connection.execute("UPDATE counters SET value = value + ? WHERE name IN ('row', 'change')", (documents,))
        sums = CHECKSUMS_OF[1]
        # The ids are no ids for a client, and the retention would remove jobs of a former year.
        for number, (job_id,) in enumerate(connection.execute("SELECT job_id FROM jobs").fetchall()):
            for table in ("jobs", "waiting", "failures"):
                connection.execute(f"UPDATE {table} SET job_id = ? WHERE job_id = ?", (f"job_{number:032x}", job_id))
        connection.execute("UPDATE jobs SET finished_at = ? WHERE finished_at NOT NULL", (time.time(),))
        for table in ("jobs", "waiting", "failures"):
            connection.execute(f"UPDATE {table} SET checksum = {sums[table]}")
        connection.execute(f"UPDATE documents SET checksum = {sums['documents']} WHERE checksum IS NULL")
        connection.execute(f"UPDATE counters SET checksum = {sums['counters']}")


def content_of(data_dir: Path) -> tuple[list[CollectionModel], dict[str, JobModel]]:
    """Return the content of a store of schema 2, read without the gateway's code."""
    with contextlib.closing(sqlite3.connect(f"file:{data_dir / FILE_NAME}?mode=ro", uri=True)) as connection:
        models = []
        for collection_id, name in connection.execute("SELECT collection_id, name FROM collections").fetchall():
            # A pending version is the newest one.
            rows = connection.execute(
                "SELECT doc_id, text, metadata FROM documents WHERE collection_id = ? ORDER BY change IS NULL",
                (collection_id,),
            )
            world = {doc_id: Content(text, json.loads(metadata).get("n", NO_NUMBER)) for doc_id, text, metadata in rows}
            models.append(CollectionModel(name, world))
        jobs = {
            job_id: JobModel(total, unchanged, failed)
            for job_id, total, unchanged, failed in connection.execute(
                "SELECT job_id, total, unchanged, failed FROM jobs"
            )
        }
    return models, jobs
