"""LlamaIndex's ``OpenAILikeEmbedding``."""

import httpx
import openai
import pytest
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from service import GUARDED_URL, KEY, TEXTS, URL, check, cosine


@pytest.fixture
async def http():
    """Options with HTTP clients that are closed at the end."""
    with httpx.Client(timeout=60) as one:
        async with httpx.AsyncClient(timeout=60) as other:
            yield {"http_client": one, "async_http_client": other}


def embedding(http, url=URL, key="none"):
    return OpenAILikeEmbedding(model_name="any", api_base=f"{url}/v1", api_key=key, max_retries=0, **http)


async def test_texts_and_queries_are_embedded(http):
    model = embedding(http)
    check(model.get_text_embedding_batch(TEXTS))
    check(await model.aget_text_embedding_batch(TEXTS))
    query = model.get_query_embedding("a cat on a mat")
    assert cosine(query, model.get_text_embedding(TEXTS[1])) > 0.5


async def test_more_texts_than_a_batch_of_the_client_has(http):
    texts = [f"chunk {number} of a document" for number in range(25)]
    assert len({tuple(vector) for vector in embedding(http).get_text_embedding_batch(texts)}) == len(texts)


async def test_a_key_is_asked_for(http):
    check(embedding(http, GUARDED_URL, KEY).get_text_embedding_batch(TEXTS))
    with pytest.raises(openai.AuthenticationError):
        embedding(http, GUARDED_URL, "wrong").get_text_embedding_batch(TEXTS)
