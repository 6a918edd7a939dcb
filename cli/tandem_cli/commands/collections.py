"""The commands ``collections``."""

from typing import Annotated

import msgspec
import typer

from tandem_cli.app import app, group
from tandem_cli.arguments import confirmed
from tandem_cli.failures import UsageError
from tandem_cli.output import counted, print_fields, print_json, print_table, size
from tandem_cli.session import Session, command
from tandem_contract.client_api import ChunkingSetting, Collection

collections = group(app, "collections", "List, show, create and delete collections.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the collection.")]


@command(collections, "list", "tandem collections list")
def list_(session: Session) -> None:
    """List the collections that the API key may use."""
    with session.client() as client:
        found = client.collections()
    if session.json:
        print_json({"collections": found})
        return
    rows = [(c.name, c.document_count, c.pending_documents, c.model, c.language, c.engine) for c in found]
    print_table(("name", "documents", "pending", "model", "language", "engine"), rows, empty="no collections")


@command(collections, "show", "tandem collections show default")
def show(session: Session, name: Name) -> None:
    """Show a collection: its size, model and settings."""
    with session.client() as client:
        _print(session, client.get_collection(name))


@command(collections, "create", "tandem collections create recipes --language german --max-tokens 200")
def create(
    session: Session,
    name: Name,
    language: Annotated[
        str | None, typer.Option(help="Of the words in keyword search, such as german; none finds exact forms only.")
    ] = None,
    engine: Annotated[str | None, typer.Option(help="Where the vectors are: usearch, pgvector or milvus.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Most tokens of a passage.")] = None,
    overlap_tokens: Annotated[int | None, typer.Option(min=0, help="Tokens that neighbouring passages share.")] = None,
    no_chunking: Annotated[bool, typer.Option("--no-chunking", help="Embed each text as a whole.")] = False,
) -> None:
    """Create a collection, or change the settings of one that exists."""
    if no_chunking and (max_tokens is not None or overlap_tokens is not None):
        raise UsageError("--no-chunking excludes --max-tokens and --overlap-tokens")
    chunking: ChunkingSetting | msgspec.UnsetType | None = msgspec.UNSET
    if no_chunking:
        chunking = None
    elif max_tokens is not None or overlap_tokens is not None:
        chunking = ChunkingSetting(max_tokens=max_tokens, overlap_tokens=overlap_tokens)
    with session.client() as client:
        made = client.put_collection(
            name,
            chunking=chunking,
            language=msgspec.UNSET if language is None else language,
            engine=msgspec.UNSET if engine is None else engine,
        )
    _print(session, made)


@command(collections, "delete", "tandem collections delete recipes --yes")
def delete(
    session: Session,
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete a collection with all its documents."""
    confirmed(f"Delete the collection {name} with all its documents?", yes)
    with session.client() as client:
        deleted = client.delete_collection(name)
    if session.json:
        print_json({"deleted": deleted})
    else:
        print(f"deleted {name}" if deleted else f"there was no collection {name}")


def _passages(chunking: ChunkingSetting | None) -> str:
    """Return how texts are split, with the limits that a collection leaves to its model."""
    if chunking is None:
        return "none"
    longest = "the model's limit" if chunking.max_tokens is None else counted(chunking.max_tokens, "token")
    shared = "a tenth" if chunking.overlap_tokens is None else counted(chunking.overlap_tokens, "token")
    return f"{longest}, {shared} shared"


def _print(session: Session, found: Collection) -> None:
    if session.json:
        print_json(found)
        return
    numbers = [
        value if isinstance(value, int) else None for value in (found.passages, found.disk_bytes, found.memory_bytes)
    ]
    print_fields(
        [
            ("name", found.name),
            ("documents", found.document_count),
            ("pending", found.pending_documents),
            ("passages", numbers[0]),
            ("model", found.model),
            ("fingerprint", found.fingerprint),
            ("chunking", _passages(found.chunking)),
            ("language", found.language),
            ("engine", found.engine),
            ("disk", size(numbers[1])),
            ("memory", size(numbers[2])),
        ]
    )
