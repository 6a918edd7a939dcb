"""The library behind the splitter's port, with the tokenizer of the prepared model."""

import itertools
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem_contract.embed import TextFormat
from tandem_embedder.model.splitter import KEPT, SemanticSplitter
from tandem_embedder.model.tokenizer import HuggingFaceTokenizer
from tandem_embedder.passages.shape import PassageShape
from tandem_embedder.passages.slices import PassageRow, PassageSlices
from tandem_embedder.ports import Span
from tests.embedder.passages.properties import assert_covers
from tests.support.texts import distinct_texts

LIMIT = 256
SPECIAL = 2
ENGLISH = distinct_texts(60)
MARKDOWN = [
    "# A heading\n\n",
    "## Another one\n\n",
    "- an item\n",
    "    indented()\n",
    "```\ncode\n\n\nmore\n```\n",
    "| a | b |\n|---|---|\n| 1 | 2 |\n",
    "Some **bold** text with [a link](http://x). ",
    "\n\n",
    "> quoted\n",
]
BLANKS = [" ", "\n\n", "\r\n", "\t", "\u3000", "\x1c"]

english = st.lists(st.sampled_from([*ENGLISH, *BLANKS]), max_size=120).map(" ".join)
markdown = st.lists(st.sampled_from([*MARKDOWN, *ENGLISH[:3]]), max_size=120).map("".join)
cjk = st.lists(st.sampled_from("日本語の処理は面白い。、漢字文章检索系统 "), max_size=3_000).map("".join)
wild = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=2_000)
CLUSTERS = ["👩\u200d👩\u200d👧", "e\u0301", "🇩🇪", "\u200d", "x", "a" * 90, " "]
joined = st.lists(st.sampled_from(CLUSTERS), max_size=600).map("".join)
texts = st.one_of(english, markdown, cjk, wild, joined).filter(lambda text: bool(text.strip()))


@pytest.fixture(scope="module")
def splitter(model_dir: Path) -> SemanticSplitter:
    return SemanticSplitter(model_dir / "tokenizer.json")


@pytest.fixture(scope="module")
def tokenizer(model_dir: Path) -> HuggingFaceTokenizer:
    return HuggingFaceTokenizer(model_dir / "tokenizer.json", LIMIT)


@pytest.fixture(scope="module")
def endless(model_dir: Path) -> HuggingFaceTokenizer:
    """A tokenizer that never truncates."""
    return HuggingFaceTokenizer(model_dir / "tokenizer.json", 1_000_000)


def rows_of(
    texts: Sequence[str],
    shape: PassageShape,
    splitter: SemanticSplitter,
    tokenizer: HuggingFaceTokenizer,
) -> list[PassageRow]:
    slices = PassageSlices(texts, "", shape, max_tokens=shape.capacity + SPECIAL, splitter=splitter)
    rows: list[PassageRow] = []
    for found in slices.run(tokenizer):
        rows += found.rows
    return rows


@settings(max_examples=60)
@given(
    st.lists(texts, min_size=1, max_size=3),
    st.sampled_from([32, 64, LIMIT]),
    st.sampled_from([0.0, 0.1, 0.5]),
    st.sampled_from(["text", "markdown"]),
)
def test_passages_cover_every_text_within_the_limits(
    splitter: SemanticSplitter,
    tokenizer: HuggingFaceTokenizer,
    endless: HuggingFaceTokenizer,
    texts: list[str],
    max_tokens: int,
    overlap: float,
    format: TextFormat,
):
    capacity = max_tokens - SPECIAL
    shape = PassageShape(capacity, min(int(max_tokens * overlap), capacity // 2), format)
    rows = rows_of(texts, shape, splitter, tokenizer)
    assert sorted(row.passage.text for row in rows) == [row.passage.text for row in rows]
    for number, text in enumerate(texts):
        spans = [Span(row.passage.start, row.passage.end) for row in rows if row.passage.text == number]
        assert spans
        assert_covers(text, spans)
        repeated = [text[b.start : a.end] for a, b in itertools.pairwise(spans) if b.start < a.end]
        assert all(len(found.ids) - SPECIAL <= shape.overlap for found in endless.tokenize(repeated))
    for row in rows:
        assert row.passage.tokens == len(row.tokenized.ids) <= max_tokens
        assert not row.tokenized.truncated


def test_offsets_are_of_characters(splitter: SemanticSplitter):
    text = "🙂🙂 one two three four 日本語 five six seven eight nine ten eleven twelve"
    spans = splitter.split(text, PassageShape(10, 0, "text"))
    assert [text[start:end] for start, end in spans] == [
        "🙂🙂 one two three four 日本語 five six",
        "seven eight nine ten eleven twelve",
    ]


def test_sentences_and_paragraphs_stay_whole_if_they_fit(splitter: SemanticSplitter):
    sentences = ENGLISH[:12]
    text = " ".join(sentences)
    parts = [text[start:end] for start, end in splitter.split(text, PassageShape(30, 0, "text"))]
    assert len(parts) > 3
    assert all(part.endswith(".") and part.startswith("The ") for part in parts)


def test_markdown_is_split_at_headings(splitter: SemanticSplitter):
    section = "words of a section that is rather short but not too short\n\n"
    text = "".join(f"# Part {number}\n\n{section}" for number in range(4))
    parts = [text[start:end] for start, end in splitter.split(text, PassageShape(24, 0, "markdown"))]
    assert [part[:8] for part in parts] == ["# Part 0", "# Part 1", "# Part 2", "# Part 3"]


def test_white_space_has_no_passage(splitter: SemanticSplitter):
    assert splitter.split(" \n\u3000", PassageShape(30, 3, "markdown")) == []


def test_the_splitters_count_is_not_truncated(splitter: SemanticSplitter):
    """The model's tokenizer reads 256 tokens; a splitter with its truncation would take any text for one passage."""
    text = "fox " * 2_000
    assert len(splitter.split(text, PassageShape(1_000, 0, "text"))) == 2


def test_two_threads_share_it_and_the_last_few_shapes_are_kept(splitter: SemanticSplitter):
    text = " ".join(ENGLISH)
    shapes = [PassageShape(30 + number, 0, "text") for number in range(KEPT + 2)]
    expected = [splitter.split(text, shape) for shape in shapes]
    with ThreadPoolExecutor(2) as threads:
        for _ in range(2):
            assert list(threads.map(lambda shape: splitter.split(text, shape), shapes)) == expected


def test_the_library_is_loaded_by_the_first_split(model_dir: Path):
    code = (
        "import sys; from pathlib import Path; import tandem_embedder.model.load;"
        "from tandem_embedder.model.splitter import SemanticSplitter as S;"
        "from tandem_embedder.passages.shape import PassageShape;"
        f"s = S(Path({str(model_dir / 'tokenizer.json')!r})); print('semantic_text_splitter' in sys.modules);"
        "s.split('a', PassageShape(30, 0, 'text')); print('semantic_text_splitter' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["False", "True"]
