"""``compact`` gives space back, and no copy of a deleted text is left."""

import sqlite3
from contextlib import closing
from pathlib import Path

from tandem_gateway import maintenance
from tandem_gateway.adapters.sqlite import purge, schema
from tandem_gateway.adapters.sqlite.connection import FILE_NAME
from tests.support.stores import NOW, document, dump, ingest, opened

SECRET = "zyzzyva"


def files_with(folder: Path, word: str) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file() and word.encode() in path.read_bytes()]


async def fill(data_dir: Path) -> None:
    """Delete three quarters of the documents, and leave a pending one and a collection that is being purged."""
    data_dir.mkdir()  # noqa: ASYNC240
    with opened(data_dir) as store:
        await ingest(store, [document(f"d{number}", f"{SECRET} {number} " * 40) for number in range(200)])
        for number in range(150):
            await store.delete("default", f"d{number}")
        for number in range(150, 200):
            await ingest(store, [document(f"d{number}", f"public {number} " * 40)], job_id=f"again{number}")
        await store.accept("waits", "default", [document("late", "waits")], NOW)
        await ingest(store, [document("gone", SECRET)], job_id="others", collection="others")
    with closing(sqlite3.connect(data_dir / FILE_NAME, isolation_level=None)) as connection:
        schema.register(connection)
        (others,) = connection.execute("SELECT collection_id FROM collections WHERE name = 'others'").fetchone()
        purge.mark_removed(connection, others)


async def test_the_files_shrink_and_have_every_row_and_no_deleted_text(tmp_path: Path):
    data_dir = tmp_path / "data"
    await fill(data_dir)
    before = (data_dir / FILE_NAME).stat().st_size
    said: list[str] = []
    maintenance.compact(data_dir, said.append)
    after = (data_dir / FILE_NAME).stat().st_size
    assert after < before * 0.7
    assert f"store: rewritten, {after} bytes instead of {before}" in said
    assert said[-1] == "keyword index: rebuilt, 51 passages"
    assert files_with(data_dir, SECRET) == []
    content = dump(data_dir)
    assert len(content["documents"]) == 51
    assert [row[1] for row in content["collections"]] == ["default"]
    assert maintenance.verify(data_dir, said.append), said
    with opened(data_dir) as store:
        assert (await store.document("default", "d199")).text.startswith("public 199")  # type: ignore[union-attr]
