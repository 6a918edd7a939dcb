"""The commands ``keys``."""

import sys
from typing import Annotated, Literal

import typer

from tandem_cli.app import app, group
from tandem_cli.arguments import confirmed, json_object, seconds
from tandem_cli.output import print_json, print_table
from tandem_cli.session import Session, command

keys = group(
    app, "keys", "List, create, rotate and revoke API keys. Needs a key with the role admin, once there are keys."
)

Role = Literal["search", "ingest", "admin"]
KeyId = Annotated[str, typer.Argument(metavar="KEY_ID", help="Id of the key.")]


@command(keys, "list", "tandem keys list")
def list_(session: Session) -> None:
    """List all keys, the revoked ones included, without their texts."""
    with session.client() as client:
        found = client.keys()
    if session.json:
        print_json({"keys": found})
        return
    rows = [
        (
            k.id,
            k.name,
            k.role,
            ", ".join(k.collections),
            k.expires_at,
            k.last_used_at,
            "revoked" if k.revoked_at else "active",
        )
        for k in found
    ]
    print_table(("id", "name", "role", "collections", "expires", "last used", "state"), rows, empty="no keys")


@command(keys, "create", "tandem keys create --name web --role search --collections 'books*' --expires-in 30d")
def create(
    session: Session,
    name: Annotated[str, typer.Option(help="Tells the key apart in lists and logs.")],
    role: Annotated[Role, typer.Option(help="Each role includes those before it: search, ingest, admin.")],
    collections: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Collections that it may use; may be given again. All without it."),
    ] = None,
    expires_in: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Such as 12h or 30d. For ever without it.")
    ] = None,
    filter: Annotated[
        str | None, typer.Option(metavar="JSON", help="Fields and values: it uses the documents that have them.")
    ] = None,
    limit: Annotated[
        list[str] | None, typer.Option(metavar="LIMIT", help="Such as requests=100/minute; may be given again.")
    ] = None,
) -> None:
    """Make an API key, and print its text, which nobody can see again.

    Standard output has the text alone. The first key of a gateway turns access control on.
    """
    with session.client() as client:
        made = client.create_key(
            name,
            role,
            collections=collections or ("*",),
            filter=json_object(filter, "--filter"),
            expires_in_seconds=seconds(expires_in, "--expires-in"),
            limits=limit,
        )
    if session.json:
        print_json(made)
        return
    print(f"tandem: key {made.id}, {made.role}; keep the text, which is shown only now:", file=sys.stderr)
    print(made.key)


@command(keys, "rotate", "tandem keys rotate KEY_ID --grace 1h")
def rotate(
    session: Session,
    key_id: KeyId,
    grace: Annotated[str | None, typer.Option(metavar="DURATION", help="How long the old text still works.")] = None,
) -> None:
    """Give a key a new text, and print it."""
    with session.client() as client:
        made = client.rotate_key(key_id, grace_seconds=seconds(grace, "--grace"))
    if session.json:
        print_json(made)
    else:
        print(made.key)


@command(keys, "revoke", "tandem keys revoke KEY_ID --yes")
def revoke(
    session: Session, key_id: KeyId, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False
) -> None:
    """Revoke a key for ever."""
    confirmed(f"Revoke the key {key_id} for ever?", yes)
    with session.client() as client:
        revoked = client.revoke_key(key_id)
    if session.json:
        print_json(revoked)
    else:
        print(f"revoked {revoked.id} ({revoked.name})")
