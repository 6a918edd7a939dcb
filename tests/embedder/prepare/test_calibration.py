"""The calibration texts belong to the recipe, so that everybody gets the same int8 model."""

import hashlib
from importlib import resources

from tandem_embedder.prepare.calibration import CALIBRATION_TEXTS, calibration_texts
from tandem_embedder.prepare.recipes import BERT_RECIPES

PINNED = ("bert-int8/2", "3be089baa1e0239e3f62cc8c71d61d7a3de7ccbe6c556705061dcbc123cb638b")


def test_the_texts_change_only_with_the_recipes_version() -> None:
    content = resources.files("tandem_embedder.prepare").joinpath(CALIBRATION_TEXTS).read_bytes()
    assert (BERT_RECIPES["int8"], hashlib.sha256(content).hexdigest()) == PINNED


def test_the_texts_are_many_and_of_all_lengths() -> None:
    texts = calibration_texts()
    assert len(texts) >= 150
    assert len(set(texts)) == len(texts)
    words = sorted(len(text.split()) for text in texts)
    assert words[0] == 1
    assert words[-1] > 120
