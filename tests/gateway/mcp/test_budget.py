"""The budget of tokens: costs add up, and a text is cut where the budget ends."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from tandem_gateway.http.mcp.budget import LETTER, SIGN, UNITS, Part, cost, divided, fitting, longest, tokens

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.text('ab 1\n\x01"\\é中', max_size=400)


def of(part: str) -> int:
    return cost(msgspec.json.encode(part))


@given(TEXTS, TEXTS)
def test_costs_add_up(one: str, other: str):
    assert cost((one + other).encode()) == cost(one.encode()) + cost(other.encode())


@given(TEXTS)
def test_a_byte_costs_what_a_letter_or_another_byte_does(text: str):
    content = text.encode()
    assert LETTER * len(content) <= cost(content) <= SIGN * len(content)


@given(st.integers(0, 10_000))
def test_tokens_are_rounded_up(units: int):
    assert (tokens(units) - 1) * UNITS < units <= tokens(units) * UNITS


@given(TEXTS, st.integers(-5, 2_000), st.data())
def test_a_cut_text_fits_and_is_the_longest(text: str, units: int, data: st.DataObject):
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, len(text)))
    end = longest(text, start, stop, units, of)
    assert start <= end <= stop
    assert end == start or of(text[start:end]) <= units
    if end < stop:
        assert of(text[start : end + 1]) > units or text[end - 1] == " "


def test_a_cut_text_ends_after_a_word():
    text = "some words that go on and on"
    assert text[: longest(text, 0, len(text), of("some words th"), of)] == "some words "
    assert longest(text, 0, len(text), of(text), of) == len(text)


@given(st.lists(st.integers(0, 50), max_size=20), st.integers(-10, 300))
def test_as_many_parts_as_fit(costs: list[int], units: int):
    number = fitting(costs, units)
    assert number == 0 or sum(costs[:number]) <= units
    assert number == len(costs) or sum(costs[: number + 1]) > units


@given(st.lists(st.tuples(TEXTS, st.integers(0, 300)), max_size=8), st.integers(-10, 9_000), st.integers(30, 300))
def test_divided_parts_fit_and_only_the_last_ones_are_left_out(
    given_parts: list[tuple[str, int]], units: int, least: int
):
    parts = [Part(text, 0, len(text), around) for text, around in given_parts]
    ends = divided(parts, units, least, of)
    costs = [part.around + of(part.text[:end]) for part, end in zip(parts, ends, strict=False)]
    assert not costs or sum(costs) <= units
    assert all(0 < end <= part.stop or not part.text for part, end in zip(parts, ends, strict=False))
    everything = sum(part.around + of(part.text) for part in parts)
    assert (everything <= units) == (ends == [part.stop for part in parts]) or everything > units


def test_a_long_text_leaves_room_for_the_next():
    parts = [Part("a" * 1_000, 0, 1_000, 0), Part("b" * 10, 0, 10, 0)]
    assert divided(parts, 2_000, 10, lambda text: LETTER * len(text)) == [250, 10]


@pytest.mark.parametrize(
    "text",
    [
        "The gateway keeps the documents and their indexes, and the embedder has the model.",
        "Die Suche findet Dokumente nach ihrer Bedeutung und nach ihren Wörtern, größere auch.",
        "Поиск находит документы по смыслу и по словам.",
        "検索は意味と単語で文書を見つけます。",
        '{"id":"3f2504e0-4f89-11d3-9a0c-0305e82c3301","year":2024,"price":19.95}',
        "def cost(content: bytes) -> int:\n    return 2 * len(content)\n",
    ],
)
def test_the_estimate_is_on_the_safe_side_of_a_real_tokenizer(model_dir: Path, text: str):
    real = Tokenizer.from_file(str(model_dir / "tokenizer.json")).encode(text, add_special_tokens=False)
    assert len(real.ids) <= tokens(cost(text.encode()))
