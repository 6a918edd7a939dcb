"""Arguments and options that several commands have, and what their texts mean."""

import json
import re
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tandem_cli.failures import UsageError

MAX_FILE_BYTES = 1 << 20

CollectionOption = Annotated[str, typer.Option("--collection", "-c", metavar="NAME", help="Name of the collection.")]
FilterOption = Annotated[
    str | None,
    typer.Option(
        "--filter",
        metavar="JSON",
        help='Conditions on the metadata, such as \'{"year": {"$gte": 1960}}\'; @FILE reads them from a file.',
    ),
]

_DURATION = re.compile(r"([0-9]{1,9})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def json_object(text: str | None, option: str) -> dict[str, Any] | None:
    """Return the JSON object that an option gives, or the file that it names with ``@``.

    Raises:
        UsageError: if it is none.
    """
    if text is None:
        return None
    if text.startswith("@"):
        path = Path(text[1:])
        try:
            with path.open("rb") as file:  # a device or a pipe has no size to ask for
                content = file.read(MAX_FILE_BYTES + 1)
            if len(content) > MAX_FILE_BYTES:
                raise UsageError(f"{option}: {path} has more than {MAX_FILE_BYTES} bytes")
            text = content.decode("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{option}: {path} cannot be read: {error}") from error
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{option}: JSON was expected: {error}") from error
    if not isinstance(value, dict):
        raise UsageError(f"{option}: a JSON object was expected, not {text[:80]!r}")
    return value


def seconds(text: str | None, option: str) -> int | None:
    """Return the seconds of a duration such as ``90s``, ``15m``, ``12h`` or ``30d``.

    Raises:
        UsageError: if it is none.
    """
    if text is None:
        return None
    found = _DURATION.fullmatch(text)
    if found is None:
        raise UsageError(f"{option}: a duration such as 90s, 15m, 12h or 30d was expected, not {text!r}")
    return int(found[1]) * _SECONDS[found[2]]


def confirmed(question: str, yes: bool) -> None:
    """Ask before something is deleted; ``--yes`` answers.

    Raises:
        UsageError: if nobody can be asked.
        typer.Abort: if the answer is no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{question} Say --yes, since standard input is no terminal to ask on")
    typer.confirm(question, abort=True)
