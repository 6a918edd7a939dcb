"""Highlights of hits: those of the text and of the passage, a deadline, and turns."""

import asyncio
import time
from array import array

import pytest
from msgspec.structs import replace

from tandem_gateway.analysis.query_syntax import parse
from tandem_gateway.errors import DeadlineExceeded
from tandem_gateway.records.search import Hit, HitPassage
from tandem_gateway.use_cases.highlighting import MAX_HIGHLIGHTS, Highlighter
from tests.support.fakes import WAIT_SECONDS
from tests.support.search_fixtures import PipelineFixture, command

LONG = "cat, " * 60_000


def hit(text: str, passage: HitPassage | None = None) -> Hit:
    return Hit("d", 1.0, text, "{}", passage=passage)


async def highlighted(*hits: Hit, passages: bool = True) -> list[Hit]:
    found = list(hits)
    deadline = time.monotonic() + WAIT_SECONDS
    await Highlighter().highlight(found, parse("cats"), "english", deadline, passages=passages)
    return found


async def test_a_text_and_its_passage_have_their_own_offsets():
    (found,) = await highlighted(hit("a cat and cats", HitPassage(1, 10, 14)))
    assert (found.highlights, found.passage_highlights) == (array("L", [2, 5, 10, 14]), array("L", [0, 4]))
    (found,) = await highlighted(hit("a cat", HitPassage(0, 0, 5)), passages=False)
    assert (found.highlights, found.passage_highlights) == (array("L", [2, 5]), None)


async def test_long_texts_are_highlighted_in_a_thread_up_to_the_limit():
    found = await highlighted(hit(LONG), hit("no such word"), hit(LONG), hit("cat"))
    assert [len(each.highlights or ()) for each in found] == [2 * MAX_HIGHLIGHTS, 0, 2 * MAX_HIGHLIGHTS, 2]


async def test_searches_take_turns():
    highlighter = Highlighter()
    lists = [[hit("dog " * 30_000) for _ in range(4)] for _ in range(3)]
    deadline = time.monotonic() + WAIT_SECONDS
    await asyncio.gather(
        *(highlighter.highlight(each, parse("cats"), "english", deadline, passages=False) for each in lists)
    )
    assert [each.highlights for hits in lists for each in hits] == [array("L")] * 12


@pytest.mark.parametrize("text", ["cat", LONG])
async def test_a_passed_deadline_ends_it(text: str):
    with pytest.raises(DeadlineExceeded, match="highlighted"):
        await Highlighter().highlight([hit(text)], parse("cat"), "english", time.monotonic() - 1, passages=False)


async def test_only_a_search_that_asks_has_highlights():
    fixture = PipelineFixture()
    fixture.lexical.finds = True
    asked = command("text", collection="books", mode="lexical")
    assert (await fixture.use_case.answer(asked)).hits[0].highlights is None
    asked = replace(command("text -cat", collection="books", mode="lexical"), highlight=True)
    assert (await fixture.use_case.answer(asked)).hits[0].highlights == array("L", [0, 4])
