"""Deleted text disappears from the files of a running gateway, with the default delays."""

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.support.stack import Client, gateway_process, wait_until

SECRET = "zyzzyva"


def files_with(folder: Path, word: str) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file() and word.encode() in path.read_bytes()]


def truncations(client: Client, database: str) -> float:
    return client.metric("tandem_gateway_log_truncations_total", {"database": database, "outcome": "done"})


def test_deleted_text_leaves_every_file_and_its_truncations_are_counted(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    process, client = gateway_process(tmp_path, data_dir, "http://127.0.0.1:9")  # the document is pending
    with process:
        client.ingest([{"id": "gone", "text": SECRET, "metadata": {"also": SECRET}}])
        answer = client.http.post("/v1/search", json={"query": SECRET, "mode": "lexical"})
        assert [hit["id"] for hit in answer.json()["results"]] == ["gone"]
        assert files_with(data_dir, SECRET) != []
        assert client.http.delete("/v1/collections/default/documents/gone").json() == {"deleted": True}
        wait_until(lambda: not files_with(data_dir, SECRET), "no file with deleted text")
        wait_until(lambda: truncations(client, "store") > 0, "a truncation of the store's log")
        assert truncations(client, "keyword_index") > 0
        assert client.http.get("/v1/collections/default/documents/gone").status_code == 404
    client.close()


def test_the_store_knows_how_far_the_keyword_index_has_followed(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    process, client = gateway_process(tmp_path, data_dir, "http://127.0.0.1:9")

    def followed() -> list[str]:
        with closing(sqlite3.connect(data_dir / "tandem.sqlite3")) as store:
            rows = store.execute(
                "SELECT name FROM followers JOIN collections USING (collection_id) WHERE follower = ?", ("keywords",)
            )
            return sorted(name for (name,) in rows)

    with process:
        client.ingest([{"id": "a", "text": "a text"}])
        wait_until(lambda: followed() == ["default"], "a report of the keyword index")
    client.close()
