"""What both use cases share: the facts of the model, and the result of a request."""

from collections.abc import Mapping

import msgspec

from tandem_contract.embed import Kind, Passage
from tandem_embedder.model.prepared_model import Manifest
from tandem_embedder.ports import TokenizedText, Tokenizer, Vectors


class Embedded(msgspec.Struct, frozen=True):
    """Vectors of a request, in the order of its texts or passages, and the time of each stage."""

    vectors: Vectors
    """``(n, dim) float32``; each row has unit length."""
    tokens: list[int]
    truncated: list[bool]
    unknown: list[float]
    """See ``EmbedReply.unknown``."""
    tokenize_seconds: float
    """Time to split and tokenize, including the wait for the thread."""
    queue_seconds: float
    passages: list[Passage] | msgspec.UnsetType = msgspec.UNSET
    """See ``EmbedReply.passages``."""
    texts: int | None = None
    """Number of texts; None if each row is one."""


class ModelFacts(msgspec.Struct, frozen=True):
    """The facts of the served model that a request depends on."""

    max_seq_length: int
    """Tokens, including the special tokens."""
    prompts: Mapping[Kind, str]
    """Prompt of each kind of text; empty if the model has none."""
    overhead: Mapping[Kind, int]
    """Number of prompt and special tokens that the embedder adds to a text of each kind."""


def facts_of(manifest: Manifest, tokenizer: Tokenizer) -> ModelFacts:
    """Return the facts of a model; ``tokenizer`` is the model's."""
    prompts: dict[Kind, str] = {"query": manifest.prompts.query, "document": manifest.prompts.document}
    overhead = {kind: len(tokenizer.tokenize([prompt])[0].ids) for kind, prompt in prompts.items()}
    return ModelFacts(manifest.max_seq_length, prompts, overhead)


def unknown_share(text: TokenizedText, overhead: int) -> float:
    """Return the share of unknown tokens among a text's own tokens; 1 if the text has no token of its own."""
    own = len(text.ids) - overhead
    return text.unknown / own if own > 0 else 1.0
