"""``python -m gateway_bench.findability TABLE.csv``: checks that a search finds every row of a table by its own text.

Each row is a document with a line ``column: value`` for each column. A graph loses such texts: rows share a template,
so their vectors lie close together. A vector search for each document's own text must return the document first, or
tied with the first. The check runs again after deletions and replacements, after kill -9 and a start, after `rebuild`,
and by `verify`.

Exit status: 0 all found, 1 some not found or no check, 2 a wrong argument, 130 interrupted.
"""

import argparse
import asyncio
import csv
import itertools
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx2 as httpx
from tqdm import tqdm

from gateway_bench.arguments import positive_whole
from tandem_tools.client import ApiError, Client
from tandem_tools.corpus import Document
from tandem_tools.process import Process, ProcessFailed, free_port, inherited_environment
from tandem_tools.readiness import answers

_READY_SECONDS: Final = 600.0
_CLIENTS: Final = 16
_TIE: Final = 2e-5
"""Closer scores are a tie: a text has slightly different vectors alone and in a batch; see docs/concepts.md."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    made = argparse.ArgumentParser(
        prog="python -m gateway_bench.findability", description=__doc__.split("\n\n")[1].replace("`", "'")
    )
    made.add_argument("table", type=Path, metavar="TABLE.csv", help="a table with a line of column names")
    made.add_argument(
        "--rows", type=positive_whole, default=10_000, metavar="N", help="take the first N rows (default: 10000)"
    )
    made.add_argument(
        "--model-dir",
        type=Path,
        default=Path("models/all-MiniLM-L6-v2"),
        metavar="DIR",
        help="the prepared model (default: %(default)s)",
    )
    made.add_argument("--gateway", default=f"{sys.executable} -m tandem_gateway", metavar="COMMAND")
    made.add_argument("--embedder", default=f"{sys.executable} -m tandem_embedder", metavar="COMMAND")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all checks, and print a line for each."""
    command = parser()
    given = command.parse_args(arguments)
    try:
        documents = list(itertools.islice(rows_of(given.table), given.rows))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        command.error(f"{given.table}: {error}")
    try:
        with tempfile.TemporaryDirectory() as folder:
            return 0 if Findability(given, Path(folder)).run(documents) else 1
    except (ApiError, ProcessFailed, httpx.HTTPError) as error:
        print(f"findability: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def rows_of(table: Path) -> Iterator[Document]:
    """Yield a document for each row, equal rows included."""
    with table.open(newline="", encoding="utf-8-sig") as file:
        for number, row in enumerate(csv.DictReader(file)):
            text = "\n".join(f"{column}: {value}" for column, value in row.items() if column and value)
            if text:
                yield Document(f"row-{number}", text)


class Findability:
    """Both services over an empty data directory."""

    def __init__(self, given: argparse.Namespace, folder: Path) -> None:
        self._given = given
        self._folder = folder
        self._sound = True

    def run(self, documents: list[Document]) -> bool:
        """Run all checks, and return whether each found every document."""
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        variables = {
            "TANDEM_EMBEDDER_PORT": str(port),
            "TANDEM_MODEL_DIR": str(self._given.model_dir.resolve()),
            "TANDEM_ACCESS_LOG": "false",
        }
        with self._process("embedder", self._given.embedder, variables, url):
            live = {document.id: document for document in documents}
            with self._gateway(url) as (gateway, api):
                self._ingest(api, documents)
                self._search(api, live, f"{len(live)} rows")
                gone, newer = self._change(api, documents)
                live = {document.id: document for document in [*documents, *newer] if document.id not in gone}
                self._search(api, live, f"{len(gone)} deleted, {len(newer)} replaced")
                gateway.kill()
            with self._gateway(url) as (_, api):
                self._search(api, live, "after kill -9 and a start")
            self._tool("verify")
            self._tool("rebuild")
            with self._gateway(url) as (_, api):
                self._search(api, live, "after rebuild")
            self._tool("verify")
        return self._sound

    @contextmanager
    def _gateway(self, embedder_url: str) -> Iterator[tuple[Process, Client]]:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        variables = {
            "TANDEM_GATEWAY_PORT": str(port),
            "TANDEM_EMBEDDER_URL": embedder_url,
            "TANDEM_DATA_DIR": str(self._folder / "data"),
            "TANDEM_ACCESS_LOG": "false",
        }
        with self._process("gateway", self._given.gateway, variables, url) as process, Client(url) as api:
            yield process, api

    def _process(self, name: str, command: str, variables: dict[str, str], url: str) -> Process:
        return Process(
            name,
            command.split(),
            self._folder / f"{name}.log",
            env=inherited_environment() | variables,
            cwd=self._folder,
            ready=answers(f"{url}/readyz"),
            ready_seconds=_READY_SECONDS,
        )

    def _ingest(self, api: Client, documents: Sequence[Document]) -> None:
        with tqdm(total=len(documents), desc="ingest", file=sys.stderr) as bar:
            api.ingest_all(documents, progress=lambda done: bar.update(done - bar.n) and None)

    def _change(self, api: Client, documents: Sequence[Document]) -> tuple[set[str], list[Document]]:
        """Delete 15 % of the documents, and change the text of 15 %; the same ones in each run."""
        chosen = random.Random(7).sample(documents, len(documents) * 30 // 100)  # noqa: S311
        deleted, replaced = chosen[::2], chosen[1::2]
        for document in tqdm(deleted, desc="delete", file=sys.stderr):
            api.delete_document(document.id)
        newer = [Document(document.id, f"{document.text}\nrevision: 2") for document in replaced]
        self._ingest(api, newer)
        return {document.id for document in deleted}, newer

    def _search(self, api: Client, live: dict[str, Document], step: str) -> None:
        lost = asyncio.run(lost_of(api.url, live.values(), step))
        self._sound = self._sound and not lost
        first = f" (first: {', '.join(lost[:3])})" if lost else ""
        print(f"{step}: {len(live) - len(lost)} of {len(live)} are first for their own text{first}", flush=True)

    def _tool(self, name: str) -> None:
        ran = subprocess.run(
            [*self._given.gateway.split(), name, "--data-dir", str(self._folder / "data")],
            capture_output=True,
            text=True,
            check=False,
        )
        self._sound = self._sound and ran.returncode == 0
        for line in (ran.stdout + ran.stderr).strip().splitlines():
            print(f"  {name}: {line}", flush=True)


async def lost_of(url: str, documents: Iterable[Document], step: str) -> list[str]:
    """Return the ids of the documents that are neither first for their own text nor tied with the first."""
    waiting = list(documents)
    lost: list[str] = []
    bar = tqdm(total=len(waiting), desc=step, file=sys.stderr)

    async def search(client: httpx.AsyncClient) -> None:
        while waiting:
            document = waiting.pop()
            body = {"query": document.text, "top_k": 10, "mode": "dense"}
            response = await client.post("/v1/search", json=body)
            response.raise_for_status()
            hits: list[dict[str, Any]] = response.json()["results"]
            ties = {hit["id"] for hit in hits if hit["score"] >= hits[0]["score"] - _TIE}
            # If more rows than top_k have this vector, the first hit is one of them, with the score of an equal text.
            if document.id not in ties and (not hits or hits[0]["score"] < 1 - _TIE):
                lost.append(document.id)
            bar.update()

    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60.0) as client, asyncio.TaskGroup() as group:
        for _ in range(_CLIENTS):
            group.create_task(search(client))
    bar.close()
    return sorted(lost)


if __name__ == "__main__":
    sys.exit(main())
