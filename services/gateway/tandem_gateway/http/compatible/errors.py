"""Gives the errors of compatible routes the shape that their clients read, whatever layer refused the request.

It wraps the routes, and again the whole application: errors that have their shape already pass unchanged.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from tandem_contract.compatible.ollama import OllamaError
from tandem_contract.compatible.rerank import CohereError
from tandem_contract.compatible.tei import TeiError, TeiErrorType
from tandem_contract.errors import ErrorReply
from tandem_runtime.request_id import AsgiApp, Message, Receive, Scope, Send

Shape = Callable[[int, ErrorReply], msgspec.Struct]
"""Takes an error's status and body, and returns the body for the client."""

_OLLAMA_PREFIX: Final = "/api/"
_TEI_PATHS: Final = ("/embed", "/info", "/health", "/rerank")
_COHERE_PATHS: Final = ("/v1/rerank", "/v2/rerank")
_TEI_TYPES: Final[dict[int, TeiErrorType]] = {
    429: "Overloaded",
    500: "Backend",
    503: "Unhealthy",
    504: "Backend",
}

_decoder: Final = msgspec.json.Decoder(ErrorReply)
_encoder: Final = msgspec.json.Encoder()


def of_ollama(status: int, reply: ErrorReply) -> OllamaError:
    """Return an error as Ollama's API does."""
    return OllamaError(reply.error.message)


def of_tei(status: int, reply: ErrorReply) -> TeiError:
    """Return an error as the API of Text Embeddings Inference does."""
    return TeiError(reply.error.message, _TEI_TYPES.get(status, "Validation"))


def of_cohere(status: int, reply: ErrorReply) -> CohereError:
    """Return an error as Cohere's API does."""
    return CohereError(reply.error.message, reply.error.code, reply.error.param)


def shape_of(path: str) -> Shape | None:
    """Return the shape of the errors at a path; None for the gateway's own, which is OpenAI's as well."""
    if path.startswith(_OLLAMA_PREFIX):
        return of_ollama
    if path.removesuffix("/") in _COHERE_PATHS:
        return of_cohere
    return of_tei if path.removesuffix("/") in _TEI_PATHS else None


def with_shaped_errors(app: AsgiApp) -> AsgiApp:
    """Return an application whose errors have the shape of their path."""

    async def shaped(scope: Scope, receive: Receive, send: Send) -> None:
        shape = shape_of(scope["path"]) if scope["type"] == "http" else None
        await app(scope, receive, send if shape is None else _shaping(shape, send))

    return shaped


def _shaping(shape: Shape, send: Send) -> Send:
    start: Message | None = None
    parts: list[bytes] = []

    async def send_shaped(message: Message) -> None:
        nonlocal start
        if message["type"] == "http.response.start" and message["status"] >= 400:
            start = message
        elif start is None:
            await send(message)
        else:
            parts.append(message.get("body", b""))
            if message.get("more_body", False):
                return
            body = _shaped(shape, start["status"], b"".join(parts))
            headers = [each for each in start["headers"] if each[0] != b"content-length"]
            await send({**start, "headers": [*headers, (b"content-length", b"%d" % len(body))]})
            await send({**message, "body": body})

    return send_shaped


def _shaped(shape: Shape, status: int, body: bytes) -> bytes:
    try:
        reply = _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeError):
        return body  # not an error of the gateway's own shape
    return _encoder.encode(shape(status, reply))
