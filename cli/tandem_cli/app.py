"""All commands in one application."""

from importlib import metadata
from typing import Annotated

import typer

from tandem_cli import help as helps
from tandem_cli.session import ApiKey, AsJson, Session, Url

DISTRIBUTION = "tandem-search"

_HELP = """Semantic search: run Tandem on this machine, and work with a gateway anywhere.

Exit status: 0 for success, 1 for a failure, 2 for a wrong argument, 3 if the gateway does not have what was named, 4 if
no gateway answers, 5 if the API key is missing or not allowed to do this, and 130 after Ctrl-C.
"""

app = typer.Typer(
    name="tandem",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def version() -> str:
    """Return the version of the installed package; "unknown" if it is not installed."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "unknown"


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"tandem {version()}")
        raise typer.Exit


def group(parent: typer.Typer, name: str, help_text: str) -> typer.Typer:
    """Add a group of commands, and return it."""
    added = typer.Typer(no_args_is_help=True, rich_markup_mode="rich")
    parent.add_typer(added, name=name, help=help_text)
    return added


@app.callback(help=helps.filled(_HELP))
def tandem(
    ctx: typer.Context,
    url: Url = None,
    api_key: ApiKey = None,
    as_json: AsJson = False,
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Take the options that stand before the command."""
    ctx.obj = Session(url, api_key, as_json)
