"""The command ``ingest``."""

import sys
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

import typer

from tandem_cli.app import app
from tandem_cli.arguments import CollectionOption, json_object
from tandem_cli.failures import Failed, UsageError
from tandem_cli.ingesting import sync as syncing
from tandem_cli.ingesting.folder import FILE_SUFFIXES, walk
from tandem_cli.ingesting.report import Report
from tandem_cli.ingesting.rows import SUFFIXES, Format, rows
from tandem_cli.ingesting.uploads import batches, upload
from tandem_cli.output import print_json
from tandem_cli.progress import counting
from tandem_cli.session import Session, command
from tandem_client import Client
from tandem_client.errors import InvalidRequest, NotFound

OnError = Literal["skip", "reject"]


@command(
    app,
    "ingest",
    "tandem ingest books.jsonl --collection books",
    'tandem ingest notes/ --metadata \'{"team": "x"}\'',
    "tandem ingest notes/ --sync --collection notes",
    'echo \'{"id": "mat", "text": "The cat sat on the mat."}\' | tandem ingest -',
)
def ingest(
    session: Session,
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Files, folders, or - for standard input.")],
    collection: CollectionOption = "default",
    format: Annotated[
        Format | None, typer.Option(help="Of standard input, else jsonl; of files, else by the end of the name.")
    ] = None,
    metadata: Annotated[
        str | None, typer.Option(metavar="JSON", help="Metadata of all documents; a document's own fields go before.")
    ] = None,
    on_error: Annotated[
        OnError, typer.Option(help="Of rows that are not valid: skip stores the others, reject stops.")
    ] = "skip",
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Whether to wait until searches find all.")] = True,
    sync: Annotated[bool, typer.Option("--sync", help="Keep the collection in step with one folder.")] = False,
    source: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="With --sync: name of the source. Else made of the folder's path."),
    ] = None,
    prefix: Annotated[
        str, typer.Option(help="With --sync: begins the ids, to tell folders of a collection apart.")
    ] = "",
    allow_empty: Annotated[
        bool, typer.Option("--allow-empty", help="With --sync: delete all documents if the folder is empty.")
    ] = False,
    include: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="Of folders: only these files; may be given again.")
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="Of folders: not these files; may be given again.")
    ] = None,
) -> None:
    """Store documents: rows of JSON lines, JSON and CSV, and texts, Markdown, HTML, PDF and DOCX files.

    Rows have the field text, and optionally id and metadata; other fields go into the metadata. A folder is read with
    its folders, without hidden files. The id of a file's document is its name, in a folder its path there. With --sync
    the command sends what has changed since the last time, and deletes the documents of files that are gone.

    Exit status 1 if a document is not stored or could not be embedded; the others are stored all the same.
    """
    given = json_object(metadata, "--metadata") or {}
    report = Report()
    with session.client(timeout=180.0) as client:
        if sync:
            folder = _folder_of(paths)
            found = walk(folder, include or (), exclude or ())
            report.left_out = found.left_out
            if not found.files and not allow_empty:
                raise UsageError(f"{folder} has no file to ingest; --allow-empty deletes all documents of its source")
            _sync(
                client, found.files, source or syncing.source_name(folder), prefix, given, collection, report, wait=wait
            )
        else:
            if source is not None or prefix or allow_empty:
                raise UsageError("--source, --prefix and --allow-empty go with --sync")
            _Ingest(client, collection, given, on_error, report, wait=wait).run(
                paths, format, include or (), exclude or ()
            )
    if session.json:
        print_json(report.as_json())
    else:
        for line in report.failure_lines():
            print(f"tandem: {line}", file=sys.stderr)
        print(report.line())
    if not report.complete:
        raise Failed("not all documents are stored and embedded")


class _Ingest:
    """One run without ``--sync``."""

    def __init__(
        self,
        client: Client,
        collection: str,
        metadata: dict[str, Any],
        on_error: OnError,
        report: Report,
        *,
        wait: bool,
    ) -> None:
        self._client = client
        self._collection = collection
        self._metadata = metadata
        self._on_error = on_error
        self._report = report
        self._wait = wait
        self._jobs: list[str] = []

    def run(self, paths: list[str], kind: Format | None, include: Iterable[str], exclude: Iterable[str]) -> None:
        """Ingest each path, then wait for the jobs of files."""
        files: dict[str, Path] = {}
        for given in paths:
            path = Path(given)
            if given == "-":
                self._rows("standard input", sys.stdin.buffer, kind or "jsonl", None)
            elif path.is_dir():
                found = walk(path, tuple(include), tuple(exclude))
                self._report.left_out += found.left_out
                for name, inside in found.files.items():
                    self._file(name, inside, None, files)
            elif path.is_file():
                self._file(path.name, path, kind, files)
            else:
                raise UsageError(f"{given}: no such file or folder")
        with counting("sending files") as show:
            sent = 0
            for batch in batches(files, self._skip):
                upload(self._client, batch, self._collection, self._metadata or None, self._report, self._jobs.append)
                sent += len(batch)
                show(sent, len(files))
        if self._wait:
            self._follow()
        else:
            self._report.pending += sum(self._client.get_job(job).total_documents for job in self._jobs)

    def _file(self, name: str, path: Path, kind: Format | None, files: dict[str, Path]) -> None:
        suffix = path.suffix.lower()
        kind = kind or SUFFIXES.get(suffix)
        if kind is not None:
            try:
                with path.open("rb") as stream:
                    self._rows(name, stream, kind, name)
            except OSError as error:
                if self._on_error == "reject":
                    raise
                self._skip(name, str(error))
        elif suffix in FILE_SUFFIXES:
            if name in files:
                raise UsageError(f"two files have the name {name}; ingest their folder, which tells them apart")
            files[name] = path
        else:
            known = " ".join([*SUFFIXES, *FILE_SUFFIXES])
            raise UsageError(f"{path}: the end of its name is none of {known}; --format tells the format of rows")

    def _rows(self, name: str, stream: BinaryIO, kind: Format, id_name: str | None) -> None:
        def documents() -> Iterator[dict[str, Any]]:
            skip = partial(self._skip, name) if self._on_error == "skip" else None
            try:
                for row in rows(stream, kind, id_name, skip):
                    yield {**row, "metadata": {**self._metadata, **row.get("metadata", {})}} if self._metadata else row
            except UsageError as error:  # the rows before it are sent, and the report counts them
                if skip is None:
                    raise
                skip(str(error))

        self._report.add(name, bulk(self._client, documents(), self._collection, self._on_error, wait=self._wait))

    def _skip(self, name: str, reason: str) -> None:
        self._report.skipped += 1
        self._report.fail(name, reason.removeprefix(f"{name}: "))

    def _follow(self) -> None:
        with counting("embedding files") as show:
            for number, job_id in enumerate(self._jobs, 1):
                try:
                    job = self._client.wait_job(job_id)
                except NotFound:  # forgotten by a gateway that keeps few jobs
                    continue
                self._report.unchanged += job.unchanged_documents
                self._report.failed += job.failed_documents + job.cancelled_documents
                for failure in job.failures:
                    self._report.fail(failure.id, failure.error)
                show(number, len(self._jobs))


def bulk(client: Client, documents: Iterable[dict[str, Any]], collection: str, on_error: OnError, *, wait: bool) -> Any:
    """Ingest documents with a bar on a terminal, and return the client's report."""
    with counting("ingesting") as show:
        return client.ingest(
            documents,
            collection=collection,
            wait=wait,
            on_error=on_error,
            progress=lambda told: show(told.accepted - told.pending if wait else told.accepted, None),
        )


def _folder_of(paths: list[str]) -> Path:
    if len(paths) != 1 or not Path(paths[0]).is_dir():
        raise UsageError("--sync: one folder was expected")
    return Path(paths[0])


def _sync(
    client: Client,
    files: dict[str, Path],
    source: str,
    prefix: str,
    metadata: dict[str, Any],
    collection: str,
    report: Report,
    *,
    wait: bool,
) -> None:
    found = syncing.compared(syncing.entries(client, files, prefix, metadata))
    try:
        told = client.compare_source(source, {key: entry.hash for key, entry in found.items()}, collection=collection)
        missing, report.deleted = [*told.missing, *told.changed], told.deleted_documents
    except NotFound:  # the collection does not exist yet
        missing = list(found)
    report.unchanged = len(found) - len(missing)

    def documents() -> Iterable[dict[str, Any]]:
        for key in missing:
            try:
                document = found[key].read()
            except (InvalidRequest, OSError, ValueError) as error:
                report.skipped += 1
                report.fail(key, str(error))
                continue
            yield document | {"source": source, "hash": found[key].hash}

    if missing:
        told_bulk = bulk(client, documents(), collection, "skip", wait=wait)
        unchanged = report.unchanged
        report.add(source, told_bulk)
        report.unchanged = unchanged
