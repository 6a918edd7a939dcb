"""Texts → token ids, with the Hugging Face tokenizers library. In the serving code, only this module imports it.

The library truncates at the model's limit, because the special tokens at the end must survive truncation. It does not
pad: the model adapter pads each batch to its own longest row. The calls release the GIL.
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
    """Tokenizer from a ``tokenizer.json``. Thread-safe.

    Args:
        path: the file.
        max_seq_length: maximum number of tokens of a text, including special tokens; longer texts are truncated.

    Raises:
        PreparedModelError: if the file cannot be read as a tokenizer.
    """

    def __init__(self, path: Path, max_seq_length: int) -> None:
        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises plain Exception
            raise PreparedModelError(f"{path} is no tokenizer ({error}); prepare the model again") from error
        self._max_seq_length = max_seq_length
        # Override the file's own settings: all-MiniLM-L6-v2's file truncates to 128 tokens and always pads to 128.
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_seq_length)
        self._unknown_id = unknown_id(json.loads(self._tokenizer.to_str())["model"])

    def tokenize(self, texts: Sequence[str]) -> list[TokenizedText]:
        """Return, for each text, its truncated ids, whether it was truncated, and its number of unknown tokens."""
        return [self._read(encoding) for encoding in self._tokenizer.encode_batch_fast(list(texts))]

    def _read(self, encoding: tokenizers.Encoding) -> TokenizedText:
        ids = encoding.ids
        return TokenizedText(
            np.array(ids, dtype=np.int32),
            # Reading `overflowing` builds encodings of the truncated tokens, so read it only if there can be any.
            truncated=len(ids) >= self._max_seq_length and bool(encoding.overflowing),
            unknown=ids.count(self._unknown_id) if self._unknown_id is not None else 0,
        )


def unknown_id(model: dict[str, Any]) -> int | None:
    """Return the id of the unknown token; None if the model has none.

    Args:
        model: the ``model`` object of a ``tokenizer.json``. WordPiece, BPE and WordLevel give the token's name,
            Unigram its id. Byte-level BPE has no unknown token, because it has a token for every byte.
    """
    vocabulary = model.get("vocab")
    found = vocabulary.get(model.get("unk_token")) if isinstance(vocabulary, dict) else model.get("unk_id")
    return found if isinstance(found, int) else None
