"""The part of Ollama's API that embeds: ``POST /api/embed``, ``/api/embeddings``, and what clients ask before."""

import msgspec


class OllamaEmbedRequest(msgspec.Struct, frozen=True):
    """``POST /api/embed``; unknown fields, such as ``options`` and ``keep_alive``, are ignored."""

    input: str | list[str]
    """One text, or 1 to 2,048 texts."""
    model: str | None = None
    """Name of a model. Any name will do, unless TANDEM_STRICT_MODEL is on."""
    truncate: bool | None = None
    """Cut a text at the model's limit, as without the field; if false, the request is refused."""
    dimensions: int | None = None
    """As in OpenAI's API."""


class OllamaEmbedReply(msgspec.Struct, frozen=True):
    """The vectors, in the order of ``input``, and nanoseconds."""

    model: str
    """The model that made the vectors."""
    embeddings: list[list[float]]
    """The vectors, of unit length, in the order of ``input``."""
    total_duration: int
    """Nanoseconds that the gateway took."""
    load_duration: int
    """Always 0: the model is loaded."""
    prompt_eval_count: int
    """Tokens that the model read."""


class OllamaPromptRequest(msgspec.Struct, frozen=True):
    """``POST /api/embeddings``, Ollama's older route for one text."""

    prompt: str
    """The text."""
    model: str | None = None
    """Name of a model. Any name will do, unless TANDEM_STRICT_MODEL is on."""


class OllamaPromptReply(msgspec.Struct, frozen=True):
    """The vector."""

    embedding: list[float]
    """The vector, of unit length."""


class OllamaDetails(msgspec.Struct, frozen=True):
    """What the gateway knows of a model: nothing of what Ollama tells here."""


class OllamaModel(msgspec.Struct, frozen=True):
    """A model, or another name of it."""

    name: str
    """Name of the model, or another name of it."""
    model: str
    """The same name."""
    digest: str
    """The model's fingerprint."""
    details: OllamaDetails = OllamaDetails()
    """Always empty."""


class OllamaTags(msgspec.Struct, frozen=True):
    """``GET /api/tags``."""

    models: list[OllamaModel]
    """The model under each of its names."""


class OllamaVersion(msgspec.Struct, frozen=True):
    """``GET /api/version``: the version of the gateway, not of an Ollama."""

    version: str
    """Version of the gateway."""


class OllamaError(msgspec.Struct, frozen=True):
    """Every error below ``/api/``."""

    error: str
    """Text for a person: it names the field and the limit."""
