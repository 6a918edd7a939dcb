"""The limit of the queue, and the time after which a client should retry."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_embedder.batching.admission import Admission, DrainRate, Grant, estimate_tokens
from tandem_embedder.batching.lanes import LANES, Lane
from tandem_embedder.errors import LimitExceeded, Overloaded


def admission(tokens: int = 1000, chars: int = 10_000, rate: DrainRate | None = None) -> Admission:
    return Admission(tokens, chars, rate or DrainRate())


def test_texts_within_the_limit_are_admitted_and_counted_by_lane():
    counter = admission()
    counter.admit("interactive", tokens=100, chars=400)
    counter.admit("bulk", tokens=50, chars=200)
    assert (counter.queued("interactive"), counter.queued("bulk")) == (100, 50)
    assert (counter.queued_tokens, counter.pending_chars) == (150, 600)


def test_over_the_bound_is_overloaded_with_a_time_from_the_measured_rate():
    rate = DrainRate()
    rate.observe(tokens=1000, seconds=0.5)
    counter = admission(rate=rate)
    counter.admit("interactive", tokens=900, chars=0)
    with pytest.raises(Overloaded) as refused:
        counter.admit("interactive", tokens=500, chars=0)
    assert refused.value.retry_after_seconds == pytest.approx(500 / 2000)
    assert counter.queued_tokens == 900


def test_one_text_and_a_batch_are_judged_by_the_same_rule():
    counter = admission()
    counter.admit("interactive", tokens=999, chars=0)
    for tokens in (2, 600):
        with pytest.raises(Overloaded):
            counter.admit("interactive", tokens=tokens, chars=0)
    assert counter.admit("interactive", tokens=1, chars=0).tokens == 1


def test_more_than_the_whole_bound_is_a_limit_and_not_an_overload():
    with pytest.raises(LimitExceeded, match="send fewer texts"):
        admission().admit("interactive", tokens=1001, chars=0)


def test_bulk_leaves_room_for_queries():
    counter = admission()
    counter.admit("bulk", tokens=750, chars=0)
    with pytest.raises(Overloaded):
        counter.admit("bulk", tokens=1, chars=0)
    assert counter.admit("interactive", tokens=250, chars=0).tokens == 250


def test_characters_that_wait_to_be_tokenised_are_bounded_until_they_are():
    counter = admission()
    grant = counter.admit("bulk", tokens=10, chars=9_000)
    with pytest.raises(Overloaded):
        counter.admit("interactive", tokens=10, chars=2_000)
    counter.tokenized(grant, [10])
    assert counter.admit("interactive", tokens=10, chars=2_000).chars == 2_000


def test_tokenising_sets_the_estimate_right():
    counter = admission()
    grant = counter.admit("interactive", tokens=100, chars=400)
    counter.tokenized(grant, [7, 5])
    assert counter.queued_tokens == 12
    assert counter.pending_chars == 0


def test_the_rate_follows_the_last_batches():
    rate = DrainRate(workers=2)
    for _ in range(200):
        rate.observe(tokens=100, seconds=1.0)
    assert rate.tokens_per_second == pytest.approx(200)
    for _ in range(50):
        rate.observe(tokens=1000, seconds=1.0)
    assert rate.tokens_per_second == pytest.approx(2000, rel=0.05)


@pytest.mark.parametrize(
    ("text", "tokens"), [("x", 2), ("x" * 40, 12), ("x" * 100_000, 256)], ids=["short", "sentence", "over the limit"]
)
def test_an_estimate_grows_with_the_text_up_to_the_models_limit(text: str, tokens: int):
    assert estimate_tokens(text, max_seq_length=256) == tokens


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["admit", "tokenized", "release", "close"]),
            st.sampled_from(LANES),
            st.integers(1, 400),
            st.integers(0, 4_000),
        ),
        max_size=80,
    )
)
def test_the_count_is_that_of_the_open_grants_and_ends_at_nothing(steps: list[tuple[str, Lane, int, int]]):
    counter = admission()
    grants: list[Grant] = []
    for step, lane, tokens, chars in steps:
        if step == "admit":
            before = counter.queued_tokens
            try:
                grants.append(counter.admit(lane, tokens, chars))
            except Overloaded:
                assert counter.queued_tokens == before
            else:
                assert counter.queued_tokens <= 1000 or before > 1000
        elif grants:
            grant = grants[tokens % len(grants)]
            if step == "tokenized":
                counter.tokenized(grant, [tokens])
            elif step == "release":
                counter.release(grant, tokens)
            else:
                counter.close(grant)
        assert counter.queued_tokens == sum(grant.tokens for grant in grants)
        assert counter.pending_chars == sum(grant.chars for grant in grants)
    for grant in grants:
        counter.close(grant)
        counter.close(grant)
    assert (counter.queued_tokens, counter.pending_chars) == (0, 0)
