"""LangChain's ``OpenAIEmbeddings``."""

import openai
import pytest
import tiktoken
from langchain_openai import OpenAIEmbeddings
from service import GUARDED_URL, KEY, TEXTS, URL, check

OPTIONS = {"base_url": f"{URL}/v1", "api_key": "none", "max_retries": 0}


@pytest.fixture
async def options():
    """Options with HTTP clients that are closed at the end, which LangChain would leave open."""
    with openai.DefaultHttpxClient() as one:
        async with openai.DefaultAsyncHttpxClient() as other:
            yield {**OPTIONS, "http_client": one, "http_async_client": other}


async def test_texts_are_embedded_with_the_documented_options(options):
    embeddings = OpenAIEmbeddings(**options, check_embedding_ctx_length=False)
    found = embeddings.embed_documents(TEXTS)
    check(found)
    assert embeddings.embed_query(TEXTS[0]) == pytest.approx(found[0], abs=0.05)
    check(await embeddings.aembed_documents(TEXTS))


async def test_the_tokens_that_it_sends_by_default_are_refused_and_the_error_names_the_option(options, monkeypatch):
    # The real tokenizer is downloaded at its first use; its ids mean as little to this model as those of this one.
    tokenizer = tiktoken.Encoding(
        "bytes", pat_str=r"[\s\S]", mergeable_ranks={bytes([n]): n for n in range(256)}, special_tokens={}
    )
    monkeypatch.setattr(tiktoken, "encoding_for_model", lambda model: tokenizer)
    monkeypatch.setattr(tiktoken, "get_encoding", lambda name: tokenizer)
    with pytest.raises(openai.UnprocessableEntityError, match="check_embedding_ctx_length=False"):
        OpenAIEmbeddings(**options).embed_documents(TEXTS)


async def test_a_key_is_asked_for(options):
    guarded = {**options, "base_url": f"{GUARDED_URL}/v1", "check_embedding_ctx_length": False}
    check(OpenAIEmbeddings(**{**guarded, "api_key": KEY}).embed_documents(TEXTS))
    with pytest.raises(openai.AuthenticationError):
        OpenAIEmbeddings(**{**guarded, "api_key": "wrong"}).embed_documents(TEXTS)
