"""Which model the embedders serve, and the names by which a client may ask for it; pure functions."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from tandem_gateway.errors import EmbedderUnavailable, NotFound
from tandem_gateway.records.embedders import PoolState, ServedModel

_LATEST: Final = ":latest"
"""Clients of Ollama add it to a name without a tag."""


def served_model(pool: PoolState) -> ServedModel | None:
    """Return the model of most replicas in rotation, or of most others if none in rotation has told its model."""
    for serving in (True, False):
        told = [
            each.served for each in pool.replicas if each.served is not None and (each.status == "serving") == serving
        ]
        if told:
            most = Counter(each.fingerprint for each in told).most_common(1)[0][0]
            return next(each for each in told if each.fingerprint == most)
    return None


def names_of(model: str, aliases: Sequence[str]) -> list[str]:
    """Return the names that clients may use for a model, its own first, without duplicates."""
    return list(dict.fromkeys((model, model.rsplit("/", 1)[-1], *aliases)))


def check_name(asked: str | None, model: str, aliases: Sequence[str], *, strict: bool) -> None:
    """Check the name of a model in a request.

    Args:
        asked: the name; None or an empty one stands for the served model.
        model: the served model.
        aliases: other names of it.
        strict: whether other names are refused; otherwise the served model stands for every name.

    Raises:
        NotFound: it is no name of the served model.
    """
    if strict and asked and asked.removesuffix(_LATEST) not in names_of(model, aliases):
        raise NotFound(f"model: {asked[:200]!r} is not served; the model is {model}", param="model")


def required(found: ServedModel | None) -> ServedModel:
    """Return the model.

    Raises:
        EmbedderUnavailable: no embedder has told its model yet.
    """
    if found is None or found.model is None:
        raise EmbedderUnavailable("no embedder has told yet which model it serves")
    return found
