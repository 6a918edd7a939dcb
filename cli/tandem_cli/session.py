"""What a command that speaks to a gateway has: the gateway, the API key, and how to print."""

import errno
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Annotated, Any, Concatenate, ParamSpec, get_type_hints

import typer

from tandem_cli import help as helps
from tandem_cli.failures import Failed, NotFound, Refused, Unreachable, UsageError
from tandem_client import Client, errors
from tandem_client.bulk.tally import IngestStopped

P = ParamSpec("P")

Url = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="The gateway. Else TANDEM_URL, else http://localhost:8000."),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        metavar="KEY",
        help="Else TANDEM_API_KEY, or the file that TANDEM_API_KEY_FILE names. Other users of this machine can read "
        "arguments, but no variables.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for other programs.")]


@dataclass(frozen=True, slots=True)
class Session:
    """Options that all commands share.

    Attributes:
        url: of the gateway; None for that of the environment.
        api_key: None for that of the environment.
        json: whether results are printed as JSON.
    """

    url: str | None = None
    api_key: str | None = None
    json: bool = False

    def merged(self, url: str | None, api_key: str | None, as_json: bool) -> "Session":
        """Return the session with the options that were given after the command's name."""
        return replace(
            self,
            url=self.url if url is None else url,
            api_key=self.api_key if api_key is None else api_key,
            json=self.json or as_json,
        )

    def client(self, *, timeout: float = 60.0) -> Client:
        """Return a client of the gateway.

        Raises:
            UsageError: if the URL or the key is not valid.
        """
        try:
            return Client(self.url, self.api_key, timeout=timeout)
        except ValueError as error:
            raise UsageError(str(error)) from error


def command(
    app: typer.Typer, name: str, *examples: str
) -> Callable[[Callable[Concatenate[Session, P], None]], Callable[Concatenate[Session, P], None]]:
    """Add a function to an application as a command that has the shared options too.

    Args:
        app: gets the command.
        name: of the command.
        examples: at the end of its help; the tests run them.
    """

    def add(function: Callable[Concatenate[Session, P], None]) -> Callable[Concatenate[Session, P], None]:
        helps.example(function, *examples)
        call: Callable[..., None] = function

        def run(ctx: typer.Context, **arguments: Any) -> None:
            given = ctx.find_object(Session) or Session()
            session = given.merged(arguments.pop("url"), arguments.pop("api_key"), arguments.pop("as_json"))
            with translated():
                call(session, **arguments)

        _describe(run, function)
        app.command(name, help=helps.text(function), epilog=helps.epilog(function))(run)
        return function

    return add


@contextmanager
def translated() -> Iterator[None]:
    """Raise the exceptions of the client as those that end the program with their exit status."""
    try:
        yield
    except IngestStopped as error:
        raise failure_of(error.__cause__ if isinstance(error.__cause__, Exception) else error)(str(error)) from error
    except errors.NotConnected as error:
        hint = "start a gateway with `tandem dev`, or name one with --url or TANDEM_URL"
        raise Unreachable(f"{error}; {hint}") from error
    except errors.TandemError as error:
        raise failure_of(error)(str(error)) from error
    except ValueError as error:  # the client refuses an argument before it sends it
        raise UsageError(str(error)) from error
    except OSError as error:
        if error.errno == errno.EPIPE:  # the reader of standard output, such as head, has enough
            raise
        raise Failed(str(error)) from error


def failure_of(error: Exception) -> type[Failed]:
    """Return the kind of failure that an exception of the client is."""
    unreachable = (
        errors.NotConnected,
        errors.ConnectionBroken,
        errors.TimedOut,
        errors.Unavailable,
        errors.DeadlineExceeded,
        errors.Overloaded,
        errors.RateLimited,
    )
    for kinds, failure in (
        (errors.NotFound, NotFound),
        ((errors.Unauthorized, errors.Forbidden), Refused),
        (errors.InvalidRequest, UsageError),
        (unreachable, Unreachable),
    ):
        if isinstance(error, kinds):
            return failure
    return Failed


def _describe(run: Callable[..., None], function: Callable[..., Any]) -> None:
    """Give ``run`` the parameters of ``function``, with the shared options in place of the session."""
    hints = get_type_hints(function, include_extras=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context),
        *(
            parameter.replace(annotation=hints[parameter.name], kind=keyword)
            for parameter in list(inspect.signature(function).parameters.values())[1:]
        ),
        inspect.Parameter("url", keyword, annotation=Url, default=None),
        inspect.Parameter("api_key", keyword, annotation=ApiKey, default=None),
        inspect.Parameter("as_json", keyword, annotation=AsJson, default=False),
    ]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
