"""The programs that read other stores write what ``tandem ingest`` takes: Chroma's folder and server, and pgvector."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tandem_tools.process import Process, free_port
from tandem_tools.readiness import answers
from tests.clients.environments import REPOSITORY, environment, settings
from tests.support.postgres import databases

EXAMPLES = REPOSITORY / "docs" / "examples"

FILL = """
import chromadb, sys
notes = chromadb.PersistentClient(sys.argv[1]).create_collection("notes", embedding_function=None)
n = range(1500)
notes.add(ids=[f"n{i}" for i in n], documents=[f"text {i}" for i in n], embeddings=[[i, 1] for i in n])
notes.add(ids=["a"], documents=["The cat sat on the mat. ✓"], embeddings=[[1, 2]],
          metadatas=[{"page": 1, "score": 1.5, "new": True, "tags": ["x", "y"]}])
notes.add(ids=["vector-only"], embeddings=[[3, 4]])
notes.delete(ids=["n7"])
"""
WRITTEN_A = {
    "id": "a",
    "text": "The cat sat on the mat. ✓",
    "metadata": {"page": 1, "score": 1.5, "new": True, "tags": ["x", "y"]},
}


def run(python: Path | str, program: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [python, EXAMPLES / program, *arguments],
        env=settings(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def documents(done: "subprocess.CompletedProcess[str]") -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.timeout(600)  # the first run downloads the clients
def test_chroma(tmp_path: Path) -> None:
    python = environment("clients")
    folder = tmp_path / "chroma"
    subprocess.run([python, "-c", FILL, folder], env=settings(), check=True, capture_output=True, timeout=120)

    done = run(python, "export_chroma.py", str(folder), "notes")

    assert (done.returncode, done.stderr) == (0, "export_chroma: 1500 documents written, 1 without a text left out\n")
    written = documents(done)
    assert [each["id"] for each in written] == [*(f"n{number}" for number in range(1500) if number != 7), "a"]
    assert written[-1] == WRITTEN_A
    assert written[0] == {"id": "n0", "text": "text 0", "metadata": {}}
    missing = run(python, "export_chroma.py", str(folder), "other")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "other" in missing.stderr

    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [str(python.parent / "chroma"), "run", "--path", str(folder), "--port", str(port)]
    with Process("chroma", command, tmp_path / "chroma.log", env=settings(), ready=answers(f"{url}/api/v2/heartbeat")):
        assert documents(run(python, "export_chroma.py", url, "notes")) == written


def test_pgvector() -> None:
    url = databases().take_url()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION vector; CREATE SCHEMA rag")
        connection.execute(
            'CREATE TABLE rag."my chunks" (id bigint PRIMARY KEY, content text, page int, made date, meta jsonb, '
            "embedding vector(2), half halfvec(2), raw bytea)"
        )
        connection.execute(
            """INSERT INTO rag."my chunks" VALUES
               (1, 'The cat "sat" ✓', 3, '2026-01-02', '{"tags": ["x"], "none": null}', '[1,2]', '[1,2]', 'x'),
               (2, NULL, 4, NULL, NULL, '[1,2]', NULL, NULL), (3, 'tea', NULL, NULL, NULL, NULL, NULL, NULL)"""
        )
        connection.execute("INSERT INTO rag.\"my chunks\" SELECT 3 + n, repeat('x', n) FROM generate_series(1, 1200) n")

    done = run(sys.executable, "export_pgvector.py", url, "rag.my chunks", "--where", "id < 1000")

    assert (done.returncode, done.stderr) == (0, "export_pgvector: 998 documents written, 1 without a text left out\n")
    assert documents(done)[:2] == [
        {"id": "1", "text": 'The cat "sat" ✓', "metadata": {"page": 3, "made": "2026-01-02", "tags": ["x"]}},
        {"id": "3", "text": "tea", "metadata": {}},
    ]
    for wrong, told in ((["none"], "none"), (["rag.my chunks", "--text", "embedding"], "'embedding'")):
        refused = run(sys.executable, "export_pgvector.py", url, *wrong)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert told in refused.stderr
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA rag CASCADE; DROP EXTENSION vector")
    databases().give_back(url)
