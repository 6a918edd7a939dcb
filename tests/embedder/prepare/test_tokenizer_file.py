"""The copy of tokenizer.json without truncation and padding."""

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from tandem_embedder.prepare.errors import UnsupportedModel
from tandem_embedder.prepare.tokenizer_file import TextTokenizer, digest, read_tokenizer, serialise
from tests.embedder.prepare.tiny_bert import tokenizer


def test_truncation_and_padding_are_removed(tiny: Path) -> None:
    original = Tokenizer.from_file(str(tiny / "tokenizer.json"))
    assert original.truncation is not None
    assert original.padding is not None
    cleaned = Tokenizer.from_str(serialise(read_tokenizer(tiny)))
    assert cleaned.truncation is None
    assert cleaned.padding is None
    assert len(cleaned.encode("word1 " * 20).ids) == 22
    assert cleaned.encode("word1 word2").tokens == ["[CLS]", "word1", "word2", "[SEP]"]


def test_texts_are_cut_at_the_limit_with_their_special_tokens(tiny: Path) -> None:
    ids = TextTokenizer(read_tokenizer(tiny), 6).encode(["word1 " * 20, "word1"])
    assert [len(sequence) for sequence in ids] == [6, 3]
    assert ids[0][-1] == 3


def test_the_digest_is_of_the_meaning(tiny: Path) -> None:
    before = digest(read_tokenizer(tiny))
    other_layout = tokenizer() | {"truncation": None, "padding": None}
    (tiny / "tokenizer.json").write_text(json.dumps(other_layout, indent=3, sort_keys=True))
    assert digest(read_tokenizer(tiny)) == before
    (tiny / "tokenizer.json").write_text(json.dumps(tokenizer() | {"normalizer": None}))
    assert digest(read_tokenizer(tiny)) != before


def test_unusable_files_are_named(tiny: Path) -> None:
    path = tiny / "tokenizer.json"
    for content in ("{", "[1]"):
        path.write_text(content)
        with pytest.raises(UnsupportedModel, match=r"tokenizer\.json"):
            read_tokenizer(tiny)
    path.write_text('{"model": {"type": "none such"}}')
    with pytest.raises(UnsupportedModel, match=r"tokenizer\.json"):
        TextTokenizer(read_tokenizer(tiny), 8)
    path.unlink()
    with pytest.raises(UnsupportedModel, match="is missing"):
        read_tokenizer(tiny)
