"""Chooses the content coding of a reply, and reads that of a request (RFC 9110, sections 8.4 and 12.5.3)."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, Literal, get_args

Coding = Literal["zstd", "gzip"]
CODINGS: Final[tuple[Coding, ...]] = get_args(Coding)
"""The known codings, the preferred one first: zstd takes a third of gzip's time for the same size."""

MAX_HEADER: Final = 1_000
"""A longer Accept-Encoding gets no compressed reply: no client needs it."""

_ALIASES: Final = {"x-gzip": "gzip"}
_QUALITY: Final = re.compile(r"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)", re.IGNORECASE)


@lru_cache(maxsize=64)
def choose(accepted: bytes) -> Coding | None:
    """Return the coding of a reply to a request with this Accept-Encoding; None for none.

    The coding with the highest quality counts, and zstd among equals. A client that gives ``identity`` a higher quality
    gets no coding. A client that excludes ``identity`` may still get a reply without a coding.
    """
    if len(accepted) > MAX_HEADER:
        return None
    qualities: dict[str, float] = {}
    for item in accepted.decode("latin-1").lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        quality = _quality_of(parameters)
        if name and quality is not None:
            qualities.setdefault(_ALIASES.get(name, name), quality)
    others = qualities.get("*", 0.0)
    best: Coding | None = None
    best_quality = 0.0
    for coding in CODINGS:
        quality = qualities.get(coding, others)
        if quality > best_quality:
            best, best_quality = coding, quality
    return best if best_quality >= qualities.get("identity", 0.0) else None


def _quality_of(parameters: list[str]) -> float | None:
    """Return the quality of a coding; None if it cannot be read."""
    if not parameters:
        return 1.0
    matched = _QUALITY.fullmatch(parameters[0])
    return float(matched[1]) if matched is not None and len(parameters) == 1 else None


def coding_of(values: Iterable[bytes]) -> Coding | None:
    """Return the coding of a body from the values of Content-Encoding; None for a body as it is.

    Raises:
        ValueError: the coding is unknown, or there are several; the value, for a message.
    """
    given = b",".join(values).decode("latin-1")
    named = [name for name in (part.strip().lower() for part in given.split(",")) if name and name != "identity"]
    if not named:
        return None
    for coding in CODINGS:
        if len(named) == 1 and _ALIASES.get(named[0], named[0]) == coding:
            return coding
    raise ValueError(given.strip())
