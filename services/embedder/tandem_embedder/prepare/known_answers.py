"""Texts whose fp32 vectors travel with the artefact, so that every CPU can prove that it computes them.

The texts are of all lengths, the last one longer than the model takes: truncation is proved too. No prompt
is put before them.
"""

import msgspec
import numpy as np

from tandem_embedder.artefact import KnownAnswers, Precision
from tandem_embedder.prepare.errors import SelfCheckError
from tandem_embedder.prepare.runtime import Float, Graph
from tandem_embedder.prepare.tokenizer_file import TextTokenizer

MIN_COSINE: dict[Precision, float] = {"fp32": 0.9999, "int8": 0.99}
"""int8's least cosine over 200 texts was 0.9977; a CPU whose kernels saturate falls far below 0.99."""

LONGEST_REPEATED = 1024
"""Tokens at which the text over the limit stops growing, for models that take very long ones."""

_TEXTS = [
    "hello",
    "How do I reset my password?",
    "Die Bibliothek ist am Sonntag von zehn bis sechzehn Uhr geöffnet.",
    "raise KeyError(f'no such collection: {name!r}')",
    "The bridge was closed for eleven days in March 1987, after divers had found cracks in two of its piers.",
    "A semantic search engine does not look for the words of a question, but for texts that mean something "
    "near to it. Every document is turned into a point in a space of some hundred dimensions, and so is the "
    "question; what lies nearest is the answer. It finds the page on returning goods when somebody asks how "
    "to get their money back, although the two share hardly a word.",
    "Tea is made from the leaves of one plant, whatever its colour in the cup. For green tea the leaves are "
    "heated soon after picking, in a pan or in steam, so that they stay green. For black tea they are left to "
    "wither, rolled until their juice runs, and spread out in a warm and damp room, where they turn brown "
    "within a few hours. Oolong is stopped on the way from one to the other. The water should boil for black "
    "tea and should not for green; four minutes are enough for either, and a second pot from the same leaves is "
    "by many thought the better one. Whoever adds milk should know that it binds what makes the tea bitter, "
    "and that whether it goes in first or last has been argued for two hundred years without a result.",
]
_REPEATED = "A text that is longer than the model can take is cut, and what it says at its end is not seen. "


def known_texts(max_seq_length: int) -> list[str]:
    """Return the texts; the last has more than ``max_seq_length`` tokens (or ``LONGEST_REPEATED``)."""
    # A word is at least one token, so as many words as tokens are over the limit with the special tokens.
    words = min(max_seq_length, LONGEST_REPEATED)
    return [*_TEXTS, _REPEATED * (words // len(_REPEATED.split()) + 1)]


def answer(graph: Graph, tokenizer: TextTokenizer, texts: list[str]) -> KnownAnswers:
    """Return the vectors that ``graph``, the fp32 one, gives ``texts``, one by one."""
    vectors = [graph.run([sequence])[0][0] for sequence in tokenizer.encode(texts)]
    return KnownAnswers(texts=texts, vectors=[[float(x) for x in vector] for vector in vectors])


def encode(known: KnownAnswers) -> bytes:
    """Return the content of known_answers.json."""
    return msgspec.json.encode(known) + b"\n"


def check(graph: Graph, tokenizer: TextTokenizer, known: KnownAnswers, precision: Precision) -> float:
    """Return the least cosine of ``graph``'s vectors to the known ones, the texts alone and in one batch.

    Raises:
        SelfCheckError: if a vector is not finite, not of unit length, or too far from the known one.
    """
    sequences = tokenizer.encode(known.texts)
    alone = np.concatenate([graph.run([sequence])[0] for sequence in sequences])
    expected = np.asarray(known.vectors, np.float32)
    least = min(_least_cosine(alone, expected), _least_cosine(graph.run(sequences)[0], expected))
    if not least >= MIN_COSINE[precision]:
        raise SelfCheckError(
            f"the {precision} graph misses the known answers on this CPU: least cosine {least:.5f}, "
            f"{MIN_COSINE[precision]} needed; nothing was published"
            + (" (--precision fp32 does without int8)" if precision == "int8" else "")
        )
    return least


def _least_cosine(vectors: Float, expected: Float) -> float:
    """Return the least cosine of two ``(n, dim)``; NaN where a length is not 1, which no bound accepts."""
    lengths = np.linalg.norm(vectors, axis=1)
    if vectors.shape != expected.shape or not np.allclose(lengths, 1, atol=1e-4):
        return float("nan")
    return float((vectors * expected).sum(axis=1).min())
