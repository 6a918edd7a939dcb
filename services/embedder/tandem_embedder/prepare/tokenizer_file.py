"""tokenizer.json of a prepared model: the source's tokenizer without truncation and padding.

Many models have fixed padding, with which every short query costs as many tokens as the longest text. The embedder sets
truncation and padding itself. The digest covers the file's canonical JSON without those two settings, so it does not
depend on the file's layout.
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
        UnsupportedModel: if the file is missing or is not a JSON object.
    """
    path = folder / TOKENIZER
    if not path.is_file():
        raise UnsupportedModel(f"{path} is missing (a vocabulary without it is not supported)")
    tokenizer = read_json(path)
    if not isinstance(tokenizer, dict):
        raise UnsupportedModel(f"{path}: a JSON object is needed")
    return tokenizer | {"truncation": None, "padding": None}


def serialise(tokenizer: dict[str, Any]) -> str:
    """Return ``tokenizer`` as JSON text, with its keys in their original order."""
    return json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":"))


def digest(tokenizer: dict[str, Any]) -> str:
    """Return the hexadecimal SHA-256 of the tokenizer's canonical JSON."""
    canonical = json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


class TextTokenizer:
    """Texts → token ids, including special tokens, truncated at ``max_seq_length``.

    Raises:
        UnsupportedModel: if the library cannot read the tokenizer.
    """

    def __init__(self, tokenizer: dict[str, Any], max_seq_length: int) -> None:
        try:
            self._tokenizer = Tokenizer.from_str(serialise(tokenizer))
        except Exception as error:
            # The library raises plain Exception.
            raise UnsupportedModel(f"{TOKENIZER}: {error}") from error
        self._tokenizer.enable_truncation(max_seq_length)

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Return the token ids of each text, without padding."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch(texts)]
