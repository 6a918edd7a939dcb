"""Types of command-line arguments, with messages that say what is valid."""

import argparse
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def positive_whole(text: str) -> int:
    """Return a whole number over 0."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"a whole number over 0 was expected, not {text!r}")
    return number


def positive(text: str) -> float:
    """Return a finite number over 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"a number over 0 was expected, not {text!r}")
    return number


def several(of: Callable[[str], T]) -> Callable[[str], list[T]]:
    """Return the type of a comma-separated list."""

    def read(text: str) -> list[T]:
        return [of(part.strip()) for part in text.split(",")]

    return read
