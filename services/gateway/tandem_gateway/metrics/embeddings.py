"""Requests for vectors, by the API that they came by."""

from typing import Final, Literal, get_args

from prometheus_client import CollectorRegistry, Counter

Api = Literal["openai", "ollama", "tei"]
_APIS: Final = get_args(Api)


class EmbeddingMetrics:
    """Counts the texts and tokens that were embedded for clients which want vectors."""

    def __init__(self, registry: CollectorRegistry) -> None:
        texts = Counter(
            "tandem_gateway_embedding_texts",
            "Texts embedded for clients that want vectors, by API.",
            ["api"],
            registry=registry,
        )
        tokens = Counter(
            "tandem_gateway_embedding_tokens", "Tokens that the model read of these texts.", ["api"], registry=registry
        )
        truncated = Counter(
            "tandem_gateway_embedding_truncated_texts",
            "Those of these texts that were cut at the model's limit.",
            ["api"],
            registry=registry,
        )
        self._of: dict[Api, tuple[Counter, Counter, Counter]] = {
            api: (texts.labels(api), tokens.labels(api), truncated.labels(api)) for api in _APIS
        }

    def embedded(self, api: Api, texts: int, tokens: int, truncated: int) -> None:
        """Count the texts of a request, their tokens, and how many of them were truncated."""
        of_texts, of_tokens, of_truncated = self._of[api]
        of_texts.inc(texts)
        of_tokens.inc(tokens)
        if truncated:
            of_truncated.inc(truncated)
