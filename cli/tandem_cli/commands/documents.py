"""The commands ``documents``."""

from itertools import islice
from typing import Annotated

import typer

from tandem_cli.app import app, group
from tandem_cli.arguments import CollectionOption, FilterOption, confirmed, json_object
from tandem_cli.failures import NotFound, UsageError
from tandem_cli.output import excerpt_width, highlighted, print_fields, print_json, print_table, printable_lines
from tandem_cli.session import Session, command
from tandem_client.storing import parts

documents = group(app, "documents", "List, show and delete documents.")

MAX_IDS = 1_000
"""Most ids that a request of the API takes."""


@command(
    documents, "list", "tandem documents list --limit 20", """tandem documents list --filter '{"page": 1}' --json"""
)
def list_(
    session: Session,
    collection: CollectionOption = "default",
    filter: FilterOption = None,
    limit: Annotated[int, typer.Option(min=0, help="Maximum number of documents; 0 for all.")] = 100,
) -> None:
    """List documents in the order of their ids."""
    with session.client() as client:
        page = min(limit, MAX_IDS) or MAX_IDS
        every = client.documents(collection=collection, filter=json_object(filter, "--filter"), limit=page)
        found = list(islice(every, limit or None))
    if session.json:
        print_json({"documents": found})
        return
    width = max(20, excerpt_width() // 4)
    rows = [(d.id, "yes" if d.embedded else "waits", d.source, highlighted(d.text, [], width)) for d in found]
    print_table(("id", "embedded", "source", "text"), rows, empty="no documents")


@command(documents, "get", "tandem documents get mat")
def get(
    session: Session,
    document_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the document.")],
    collection: CollectionOption = "default",
) -> None:
    """Show a document with its text and metadata; control characters are escapes, and --json has the exact text."""
    with session.client() as client:
        document = client.get_document(document_id, collection=collection)
    if session.json:
        print_json(document)
        return
    fields: list[tuple[str, str | bool | None]] = [
        ("id", document.id),
        ("collection", document.collection),
        ("embedded", document.embedded),
        ("truncated", document.truncated),
        ("source", document.source),
        ("hash", document.hash),
    ]
    print_fields([*fields, *((f"metadata.{name}", str(value)) for name, value in document.metadata.items())])
    print()
    print(printable_lines(document.text))


@command(
    documents,
    "delete",
    "tandem documents delete mat tea --yes",
    """tandem documents delete --filter '{"page": 7}' --yes""",
)
def delete(
    session: Session,
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Ids of the documents.")] = None,
    collection: CollectionOption = "default",
    filter: FilterOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete documents by their ids, or all that match a filter. Exit status 3 if there was none."""
    conditions = json_object(filter, "--filter")
    if bool(ids) == (conditions is not None):
        raise UsageError("documents delete: either ids or --filter was expected")
    what = f"{len(ids)} documents" if ids else f"all documents of {collection} that match the filter"
    confirmed(f"Delete {what}?", yes)
    with session.client() as client:
        if ids:
            deleted = sum(client.delete_documents(part, collection=collection) for part in parts(ids, MAX_IDS))
        else:
            deleted = client.delete_documents(filter=conditions, collection=collection)
    if session.json:
        print_json({"deleted_documents": deleted})
    else:
        print(f"{deleted} documents deleted")
    if not deleted:
        raise NotFound(f"no such document in the collection {collection}")
