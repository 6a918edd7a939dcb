"""Known answers: texts and their fp32 vectors, stored in the prepared model for the self-test on every CPU.

The texts have various lengths. The last one exceeds the model's limit, so that the self-test covers truncation too. The
texts have no prompt.

This module sets the minimum cosine of each precision. The limit does not depend on the CPU of the preparation: fp32 has
one limit for all models. int8's limit is its cosine in exact arithmetic, minus ``INT8_MARGIN``.
"""

from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from tandem_embedder.model.prepared_model import KnownAnswers, Precision
from tandem_embedder.prepare.errors import SelfCheckError
from tandem_embedder.prepare.exact_int8 import write_exact
from tandem_embedder.prepare.runtime import Float, Graph
from tandem_embedder.prepare.tokenizer_file import TextTokenizer

FLOOR: dict[Precision, float] = {"fp32": 0.9999, "int8": 0.99}
"""Minimum cosine for publication: fp32's as this CPU computes it, int8's in exact arithmetic."""

INT8_MARGIN = 0.0005
"""Amount by which a CPU's int8 cosine may be below exact arithmetic's. With all-MiniLM-L6-v2 a CPU with VNNI differs
by less than 1e-6, and a CPU with AVX2 and saturating kernels by 0.0026."""

LONGEST_REPEATED = 1024
"""Number of tokens at which the over-long text stops growing, for models that accept very long texts."""

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
    """Return the texts. The last has more tokens than ``max_seq_length`` or ``LONGEST_REPEATED``, the lower of both."""
    # A word is at least one token, so n words and the special tokens exceed a limit of n tokens.
    words = min(max_seq_length, LONGEST_REPEATED)
    return [*_TEXTS, _REPEATED * (words // len(_REPEATED.split()) + 1)]


def answer(graph: Graph, tokenizer: TextTokenizer, texts: list[str]) -> KnownAnswers:
    """Compute the known answers: run ``texts`` one by one through ``graph``, which must be the fp32 graph."""
    vectors = [graph.run([sequence])[0][0] for sequence in tokenizer.encode(texts)]
    return KnownAnswers(texts=texts, vectors=[[float(x) for x in vector] for vector in vectors])


def encode(known: KnownAnswers) -> bytes:
    """Return the content of known_answers.json."""
    return msgspec.json.encode(known) + b"\n"


@dataclass(frozen=True)
class Check:
    """Result of a graph's self-check on this CPU, and the limit that applies on every CPU."""

    least: float
    """Minimum cosine over the texts, alone and in one batch; NaN if a vector is not finite or not of unit length."""
    limit: float
    """Minimum cosine that passes."""

    @property
    def passed(self) -> bool:
        """Whether this CPU computes the graph correctly."""
        return self.least >= self.limit


def check_fp32(graph: Graph, tokenizer: TextTokenizer, known: KnownAnswers) -> Check:
    """Check the fp32 ``graph`` against the known answers.

    Raises:
        SelfCheckError: if the check fails. The known answers and the calibration come from this graph, so they would
            be wrong as well.
    """
    check = Check(_least(graph, tokenizer, known), FLOOR["fp32"])
    if not check.passed:
        raise SelfCheckError(
            f"the fp32 graph misses the known answers on this CPU: least cosine {check.least:.5f}, "
            f"{check.limit} needed; nothing was published"
        )
    return check


def check_int8(path: Path, tokenizer: TextTokenizer, known: KnownAnswers) -> Check:
    """Check the int8 graph at ``path`` against the known answers.

    A returned check that has not passed means that this CPU computes int8 wrong; the graph itself is right.

    Raises:
        SelfCheckError: if the graph is too far from fp32 even in exact arithmetic.
    """
    written = write_exact(path)
    exact = float(_least_cosine(_alone(Graph(written), tokenizer.encode(known.texts)), _expected(known)))
    written.unlink()
    if not exact >= FLOOR["int8"]:
        raise SelfCheckError(
            f"int8 loses too much of this model: least cosine to fp32 {exact:.5f}, {FLOOR['int8']} needed; "
            "nothing was published (--precision fp32 does without int8)"
        )
    # Round the limit, so that the last digits of this CPU's float32 do not change the manifest.
    return Check(_least(Graph(path), tokenizer, known), round(exact - INT8_MARGIN, 5))


def _least(graph: Graph, tokenizer: TextTokenizer, known: KnownAnswers) -> float:
    sequences = tokenizer.encode(known.texts)
    found = [_alone(graph, sequences), graph.run(sequences)[0]]
    # numpy's minimum, not Python's: it returns NaN if any value is NaN, in any order.
    return float(np.min([_least_cosine(vectors, _expected(known)) for vectors in found]))


def _alone(graph: Graph, sequences: list[list[int]]) -> Float:
    return np.concatenate([graph.run([sequence])[0] for sequence in sequences])


def _expected(known: KnownAnswers) -> Float:
    return np.asarray(known.vectors, np.float32)


def _least_cosine(vectors: Float, expected: Float) -> float:
    """Return the minimum cosine between rows of two ``(n, dim)`` arrays.

    Returns NaN, which fails every limit, if the shapes differ or a vector's length is not 1.
    """
    lengths = np.linalg.norm(vectors, axis=1)
    if vectors.shape != expected.shape or not np.allclose(lengths, 1, atol=1e-4):
        return float("nan")
    return float((vectors * expected).sum(axis=1).min())
