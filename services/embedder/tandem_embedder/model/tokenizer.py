"""Texts → token ids, with the Hugging Face tokenizers library; the only module that imports it.

Cutting at the model's limit is the library's, because the special tokens at the end must survive it. Padding is not:
a batch is padded to its own longest, where the batch is made. The calls release the GIL.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers

from tandem_embedder.model.prepared_model import PreparedModelError
from tandem_embedder.ports import TokenizedText


class HuggingFaceTokenizer:
    """The tokenizer of a ``tokenizer.json``; safe to call from several threads.

    Args:
        path: the file.
        max_seq_length: tokens at which a text is cut, special tokens included.

    Raises:
        ArtefactError: if the file cannot be read as a tokenizer.
    """

    def __init__(self, path: Path, max_seq_length: int) -> None:
        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exception
            raise PreparedModelError(f"{path} is no tokenizer ({error}); prepare the model again") from error
        self._max_seq_length = max_seq_length
        # The file's own settings are not to be trusted: all-MiniLM-L6-v2's says 128 tokens, padded to 128 always.
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_seq_length)
        self._unknown_id = unknown_id(json.loads(self._tokenizer.to_str())["model"])

    def tokenize(self, texts: Sequence[str]) -> list[TokenizedText]:
        """Return the ids of each text, cut at the limit, whether it was, and how many of them are unknown."""
        return [self._read(encoding) for encoding in self._tokenizer.encode_batch_fast(list(texts))]

    def _read(self, encoding: tokenizers.Encoding) -> TokenizedText:
        ids = encoding.ids
        return TokenizedText(
            np.array(ids, dtype=np.int32),
            # What was cut off lies in `overflowing`, which is built when asked for: ask only where it can exist.
            truncated=len(ids) >= self._max_seq_length and bool(encoding.overflowing),
            unknown=ids.count(self._unknown_id) if self._unknown_id is not None else 0,
        )


def unknown_id(model: dict[str, Any]) -> int | None:
    """Return the id of the token that stands for what the vocabulary lacks; None if the model has none.

    Args:
        model: the part ``model`` of a ``tokenizer.json``. WordPiece, BPE and WordLevel name the token, Unigram numbers
            it; BPE over bytes has none, since it has a token for every byte.
    """
    vocabulary = model.get("vocab")
    found = vocabulary.get(model.get("unk_token")) if isinstance(vocabulary, dict) else model.get("unk_id")
    return found if isinstance(found, int) else None
