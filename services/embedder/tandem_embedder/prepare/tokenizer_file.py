"""tokenizer.json for the artefact: the same tokens, but neither truncation nor padding.

Many models ship with a fixed padding, at which every short query costs as many tokens as the longest text;
the embedder sets truncation and padding itself. The digest is of the file's meaning (its JSON in one
canonical form, without those two), so it does not change with the layout of a file.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from tandem_embedder.prepare.errors import UnsupportedModel
from tandem_embedder.prepare.json_file import read_json

TOKENIZER = "tokenizer.json"


def read_tokenizer(folder: Path) -> dict[str, Any]:
    """Return the tokenizer of the model in ``folder``, with truncation and padding removed.

    Raises:
        UnsupportedModel: if there is none, or it is no JSON object.
    """
    path = folder / TOKENIZER
    if not path.is_file():
        raise UnsupportedModel(f"{path} is missing (a vocabulary without it is not supported)")
    tokenizer = read_json(path)
    if not isinstance(tokenizer, dict):
        raise UnsupportedModel(f"{path}: a JSON object is needed")
    return tokenizer | {"truncation": None, "padding": None}


def serialise(tokenizer: dict[str, Any]) -> str:
    """Return ``tokenizer`` as the text of a file, its keys in their own order."""
    return json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":"))


def digest(tokenizer: dict[str, Any]) -> str:
    """Return the SHA-256 of the tokenizer's canonical JSON, in hexadecimal."""
    canonical = json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


class TextTokenizer:
    """Texts to token ids, special tokens included, cut at ``max_seq_length``."""

    def __init__(self, tokenizer: dict[str, Any], max_seq_length: int) -> None:
        try:
            self._tokenizer = Tokenizer.from_str(serialise(tokenizer))
        except Exception as error:
            # The library raises nothing narrower.
            raise UnsupportedModel(f"{TOKENIZER}: {error}") from error
        self._tokenizer.enable_truncation(max_seq_length)

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Return the token ids of each text, not padded."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch(texts)]
