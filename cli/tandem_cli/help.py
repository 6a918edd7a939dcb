"""Examples in the help of the commands. The tests run each of them."""

import inspect
from collections.abc import Callable
from typing import Any

EXAMPLES: dict[Callable[..., Any], tuple[str, ...]] = {}
"""Command function → its examples."""


def example(command: Callable[..., Any], *lines: str) -> None:
    """Give a command its examples."""
    EXAMPLES[command] = lines


def epilog(command: Callable[..., Any]) -> str:
    """Return the end of a command's help."""
    lines = EXAMPLES[command]
    return "\n\n".join(["Example:" if len(lines) == 1 else "Examples:", *lines])


def text(command: Callable[..., Any]) -> str:
    """Return a command's docstring with each paragraph on one line, since the help keeps its line ends."""
    return filled(inspect.getdoc(command) or "")


def filled(docstring: str) -> str:
    """Return a text with each paragraph on one line."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in docstring.split("\n\n"))
