"""Haystack's embedders of texts and documents, for OpenAI and Azure."""

import openai
import pytest
from haystack import Document
from haystack.components.embedders import (
    AzureOpenAITextEmbedder,
    OpenAIDocumentEmbedder,
    OpenAITextEmbedder,
)
from haystack.utils import Secret
from service import GUARDED_URL, KEY, MODEL, TEXTS, URL, check, cosine

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # the embedders leave their HTTP clients open


def options(url=URL, key="none"):
    return {"api_base_url": f"{url}/v1", "api_key": Secret.from_token(key), "max_retries": 0}


def embedded(component, texts):
    return [each.embedding for each in component.run([Document(content=text) for text in texts])["documents"]]


def test_documents_and_texts_are_embedded():
    documents = OpenAIDocumentEmbedder(**options(), raise_on_failure=True)
    check(embedded(documents, TEXTS))
    reply = OpenAITextEmbedder(**options()).run(TEXTS[0])
    assert reply["meta"]["model"] == MODEL
    assert cosine(reply["embedding"], embedded(documents, TEXTS)[1]) > 0.3
    many = [f"chunk {number} of a document" for number in range(70)]
    assert len({tuple(vector) for vector in embedded(documents, many)}) == len(many)


def test_azure():
    component = AzureOpenAITextEmbedder(
        azure_endpoint=GUARDED_URL, azure_deployment="any", api_key=Secret.from_token(KEY), max_retries=0
    )
    check([component.run(text)["embedding"] for text in TEXTS])


def test_a_key_is_asked_for():
    check(embedded(OpenAIDocumentEmbedder(**options(GUARDED_URL, KEY), raise_on_failure=True), TEXTS))
    with pytest.raises(openai.AuthenticationError):
        embedded(OpenAIDocumentEmbedder(**options(GUARDED_URL, "wrong"), raise_on_failure=True), TEXTS)
    with pytest.raises(openai.AuthenticationError):
        OpenAITextEmbedder(**options(GUARDED_URL, "wrong")).run(TEXTS[0])
