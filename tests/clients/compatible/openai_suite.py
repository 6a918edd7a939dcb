"""OpenAI's SDK, and its client for Azure."""

import asyncio

import openai
import pytest
from service import DIM, GUARDED_URL, KEY, LONG, MODEL, TEXTS, URL, check

BURST = 200


@pytest.fixture
def client():
    with openai.OpenAI(base_url=f"{URL}/v1", api_key="none", max_retries=0) as client:
        yield client


def test_lists_and_single_texts_in_both_formats(client):
    for options in (
        {},
        {"encoding_format": "float"},
        {"encoding_format": "base64"},
        {"dimensions": DIM},
        {"user": "u"},
    ):
        reply = client.embeddings.create(model="text-embedding-3-small", input=TEXTS, **options)
        assert reply.model == MODEL
        assert [each.index for each in reply.data] == [0, 1, 2]
        assert reply.usage.prompt_tokens == reply.usage.total_tokens > len(TEXTS)
        if options.get("encoding_format") != "base64":  # then the SDK leaves the text as it is
            check([each.embedding for each in reply.data])
    one = client.embeddings.create(model="x", input=TEXTS[0])
    assert len(one.data) == 1


def test_the_most_texts_of_a_request(client):
    reply = client.embeddings.create(model="x", input=[f"text {n}" for n in range(2048)])
    assert [each.index for each in reply.data] == list(range(2048))
    assert {len(each.embedding) for each in reply.data} == {DIM}
    with pytest.raises(openai.UnprocessableEntityError, match="2048"):
        client.embeddings.create(model="x", input=["text"] * 2049)


def test_what_was_cut_is_told_or_refused(client):
    raw = client.embeddings.with_raw_response.create(model="x", input=["short", LONG])
    assert raw.headers["tandem-truncated-inputs"] == "1"
    with pytest.raises(openai.UnprocessableEntityError) as refused:
        client.embeddings.create(model="x", input=["short", LONG], extra_body={"truncation": "error"})
    assert (refused.value.param, refused.value.code) == ("input[1]", "limit_exceeded")


@pytest.mark.parametrize("tokens", [[15339, 1917], [[15339, 1917], [1]]])
def test_tokens_are_refused(client, tokens):
    with pytest.raises(openai.UnprocessableEntityError, match="check_embedding_ctx_length=False") as refused:
        client.embeddings.create(model="x", input=tokens)
    assert (refused.value.param, refused.value.type) == ("input", "invalid_request_error")


def test_models(client):
    listed = client.models.list()
    assert [each.id for each in listed] == [MODEL, MODEL.rsplit("/", maxsplit=1)[-1]]
    assert client.models.retrieve(MODEL).id == MODEL
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-5")


async def test_a_burst_of_single_texts_without_a_retry():
    async with openai.AsyncOpenAI(base_url=f"{URL}/v1", api_key="none", max_retries=0) as client:
        texts = [f"chunk {number} of a document" for number in range(BURST)]
        replies = await asyncio.gather(*(client.embeddings.create(model="x", input=[text]) for text in texts))
    assert len({tuple(reply.data[0].embedding) for reply in replies}) == BURST


def test_azure():
    options = {"azure_endpoint": URL, "api_key": "none", "api_version": "2024-10-21", "max_retries": 0}
    with openai.AzureOpenAI(**options) as client:
        check([each.embedding for each in client.embeddings.create(model="a-deployment", input=TEXTS).data])


def test_a_key_is_asked_for():
    options = {"base_url": f"{GUARDED_URL}/v1", "max_retries": 0}
    with openai.OpenAI(api_key=KEY, **options) as client:
        check([each.embedding for each in client.embeddings.create(model="x", input=TEXTS).data])
    with openai.OpenAI(api_key="wrong", **options) as client, pytest.raises(openai.AuthenticationError):
        client.embeddings.create(model="x", input=TEXTS)


def test_azure_sends_the_key_in_a_header_of_its_own():
    options = {"azure_endpoint": GUARDED_URL, "api_version": "2024-10-21", "max_retries": 0}
    with openai.AzureOpenAI(api_key=KEY, **options) as client:
        check([each.embedding for each in client.embeddings.create(model="a-deployment", input=TEXTS).data])
    with openai.AzureOpenAI(api_key="wrong", **options) as client, pytest.raises(openai.AuthenticationError):
        client.embeddings.create(model="a-deployment", input=TEXTS)
