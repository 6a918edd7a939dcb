"""Hugging Face's ``InferenceClient``, by the routes of Text Embeddings Inference."""

import asyncio

import pytest
from huggingface_hub import AsyncInferenceClient, InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from service import DIM, GUARDED_URL, KEY, LONG, TEXTS, URL, check

BURST = 200


@pytest.fixture
def client():
    return InferenceClient(model=f"{URL}/embed", token="none")


def test_texts_are_embedded(client):
    vectors = client.feature_extraction(TEXTS)
    assert vectors.shape == (len(TEXTS), DIM)
    check(vectors.tolist())
    assert client.feature_extraction(TEXTS[0]).shape == (1, DIM)
    options = {"normalize": True, "truncate": True, "truncation_direction": "right", "dimensions": DIM}
    check(client.feature_extraction(TEXTS, **options).tolist())


def test_a_long_text_is_cut_only_if_it_may_be(client):
    assert client.feature_extraction(LONG, truncate=True).shape == (1, DIM)
    for options in ({}, {"truncate": False}):
        with pytest.raises(HfHubHTTPError, match="256") as refused:
            client.feature_extraction(LONG, **options)
        assert refused.value.response.status_code == 422


@pytest.mark.parametrize("options", [{"normalize": False}, {"truncation_direction": "left"}, {"prompt_name": "query"}])
def test_what_the_gateway_cannot_do_is_refused_and_named(client, options):
    with pytest.raises(HfHubHTTPError, match=next(iter(options))) as refused:
        client.feature_extraction(TEXTS, **options)
    assert refused.value.response.status_code == 422


def test_similarity_has_no_route(client):
    with pytest.raises(HfHubHTTPError, match="inputs") as refused:
        client.sentence_similarity(TEXTS[0], TEXTS[1:])
    assert refused.value.response.status_code == 422
    with pytest.raises(HfHubHTTPError, match="there is nothing at /similarity"):
        client.sentence_similarity(TEXTS[0], TEXTS[1:], model=f"{URL}/similarity")


async def test_a_burst_of_single_texts():
    async with AsyncInferenceClient(model=f"{URL}/embed", token="none") as client:
        texts = [f"chunk {number} of a document" for number in range(BURST)]
        replies = await asyncio.gather(*(client.feature_extraction(text) for text in texts))
    assert len({tuple(reply[0].tolist()) for reply in replies}) == BURST


def test_a_key_is_asked_for():
    check(InferenceClient(model=f"{GUARDED_URL}/embed", token=KEY).feature_extraction(TEXTS).tolist())
    with pytest.raises(HfHubHTTPError) as refused:
        InferenceClient(model=f"{GUARDED_URL}/embed", token="wrong").feature_extraction(TEXTS)
    assert refused.value.response.status_code == 401
