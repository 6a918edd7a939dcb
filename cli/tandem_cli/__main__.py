"""The commands ``tandem`` and ``tandem-search``, and ``python -m tandem_cli``."""

import io
import os
import sys
from collections.abc import Sequence

from tandem_cli import commands
from tandem_cli.app import app
from tandem_cli.failures import Failed, Status
from tandem_cli.output import printable


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, and return its exit status.

    Args:
        arguments: without the program's name; None takes those of this process.
    """
    commands.load()
    _open_closed_streams()
    # A terminal or a file that knows no UTF-8 gets escapes, where it would get an exception.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        app(args=arguments, prog_name="tandem")
    except Failed as error:
        print(f"tandem: {printable(str(error))}", file=sys.stderr)
        return error.status
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else Status.FAILED
    return Status.OK


def _open_closed_streams() -> None:
    """Let a stream that the shell has closed (``<&-``) be empty; Python has None for it, which nothing can read."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - open until the process ends


if __name__ == "__main__":
    sys.exit(main())
