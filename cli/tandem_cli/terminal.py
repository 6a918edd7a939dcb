"""Consoles of standard output and standard error.

``rich`` honours NO_COLOR and TERM, and writes no colours into a file or a pipe. Progress goes to standard error.
"""

import sys

from rich.console import Console


def output_console() -> Console:
    """Return the console of standard output, for results."""
    return Console(file=sys.stdout, highlight=False)


def progress_console() -> Console:
    """Return the console of standard error, for progress and notices; show progress only if it is a terminal."""
    return Console(file=sys.stderr, highlight=False)
