"""The part of Ollama's API that embeds: ``POST /api/embed``, ``/api/embeddings``, and what clients ask before."""

import msgspec


class OllamaEmbedRequest(msgspec.Struct, frozen=True):
    """``POST /api/embed``; unknown fields, such as ``options`` and ``keep_alive``, are ignored."""

    input: str | list[str]
    model: str | None = None
    truncate: bool | None = None
    """Cut a text at the model's limit, as without the field; if false, the request is refused."""
    dimensions: int | None = None
    """As in OpenAI's API."""


class OllamaEmbedReply(msgspec.Struct, frozen=True):
    """The vectors, in the order of ``input``, and nanoseconds."""

    model: str
    embeddings: list[list[float]]
    total_duration: int
    load_duration: int
    """Always 0: the model is loaded."""
    prompt_eval_count: int
    """Tokens that the model read."""


class OllamaPromptRequest(msgspec.Struct, frozen=True):
    """``POST /api/embeddings``, Ollama's older route for one text."""

    prompt: str
    model: str | None = None


class OllamaPromptReply(msgspec.Struct, frozen=True):
    """The vector."""

    embedding: list[float]


class OllamaDetails(msgspec.Struct, frozen=True):
    """What the gateway knows of a model: nothing of what Ollama tells here."""


class OllamaModel(msgspec.Struct, frozen=True):
    """A model, or another name of it."""

    name: str
    model: str
    digest: str
    """The model's fingerprint."""
    details: OllamaDetails = OllamaDetails()


class OllamaTags(msgspec.Struct, frozen=True):
    """``GET /api/tags``."""

    models: list[OllamaModel]


class OllamaVersion(msgspec.Struct, frozen=True):
    """``GET /api/version``: the version of the gateway, not of an Ollama."""

    version: str


class OllamaError(msgspec.Struct, frozen=True):
    """Every error below ``/api/``."""

    error: str
