"""The passage that is shown of a document which only keyword search found."""

from array import array

import pytest

from tandem_gateway.analysis.terms import query_terms
from tandem_gateway.records.search import Hit, HitPassage
from tandem_gateway.use_cases import best_passage
from tandem_gateway.use_cases.best_passage import choose_passages
from tests.support.fakes import paragraphs

TEXT = "Of cats and dogs.\n\nThe pump of reactor 7 leaks.\n\nRÉACTOR pumps, and the valves of the pumps."
SPANS = paragraphs(TEXT)
PASSAGES = array("q", [number for place, span in enumerate(SPANS) for number in (place + 10, *span)])


def hit(passage: HitPassage | None = None, passages: "array[int] | None" = PASSAGES) -> Hit:
    return Hit("d", 1.0, TEXT, "{}", passage=passage, passages=passages)


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("dog", 0),
        ("reactor", 1),  # the first of several
        ("reactor 7", 1),
        ("reactor pump valve", 2),  # by stems, without case and accents
        ("elephants", 0),
    ],
)
def test_the_passage_with_most_words_is_chosen(query: str, index: int):
    found = best_passage.best_passage(TEXT, PASSAGES, query_terms(query, 64))
    assert found == HitPassage(index, *SPANS[index])


async def test_only_hits_without_a_passage_get_one(monkeypatch: pytest.MonkeyPatch):
    near = HitPassage(2, *SPANS[2])
    for at_once in (best_passage._AT_ONCE_CHARS, 0):  # in the event loop, and in a thread
        monkeypatch.setattr(best_passage, "_AT_ONCE_CHARS", at_once)
        hits = [hit(near), hit(), hit(passages=None)]
        await choose_passages(hits, "cats", "english")
        assert [each.passage for each in hits] == [near, HitPassage(0, *SPANS[0]), None]
