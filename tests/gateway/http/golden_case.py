"""A golden case: one request to one gateway; with the paths and documents that the cases use."""

import json
from dataclasses import dataclass
from urllib.parse import quote

from tests.support.texts import distinct_texts

TOKEN = "a-token-for-operators-only"
JOB = "{job}"
"""Placeholder in a path for the id of the finished job that stored ``DOCUMENTS``."""

SEARCH = "/v1/search"
SIMILAR = "/v1/search/similar"
INGEST = "/v1/ingest"
FILES = "/v1/ingest/files"
JOBS = "/v1/jobs"
TRAFFIC = "/v1/admin/traffic"
IN_BOOKS = "/v1/collections/books/documents"
REEMBED = "/v1/collections/books/reembed"
EMBEDDINGS = "/v1/embeddings"
AZURE = "/openai/deployments/any/embeddings"
MODELS = "/v1/models"
OLLAMA = "/api/embed"
PROMPT = "/api/embeddings"
TEI = "/embed"
JSON = ("content-type", "application/json")
LINES = ("content-type", "application/x-ndjson")
KEY = ("idempotency-key", "nightly-2026-11-21")
BEARER = ("authorization", f"Bearer {TOKEN}")

# Ids that a router could change: repeated slashes, slashes at either end, percent signs, dots, reserved characters.
IDS = (
    "a", "a/b", "a//b", "a/", "/a", "//", "a%2Fb", "a%b", "a b", "a+b", "é", "日本", "a.b", "...", ".a", "a?b", "a#b",
    "a;b", "{a}", "documents", "a:path", "a\\b", "x" * 256,
)  # fmt: skip
DOCUMENTS = [
    {"id": doc_id, "text": text, "metadata": {"n": number, "big": 12345678901234567890.125, "tags": ["x", "y"]}}
    for number, (doc_id, text) in enumerate(zip(IDS, distinct_texts(len(IDS), seed=5), strict=True))
]


@dataclass(frozen=True)
class Case:
    """One request, sent as raw bytes to one of the gateways."""

    gateway: str
    method: str
    target: str
    """The request's target, as its first line has it."""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    chunked: bool = False
    host: str = "localhost"

    def head(self, job_id: str) -> bytes:
        """Return the request's head, with ``job_id`` in place of ``JOB``."""
        lines = [
            f"{self.method} {self.target.replace(JOB, job_id)} HTTP/1.1",
            f"host: {self.host}",
            "connection: close",
        ]
        lines += [f"{name}: {value}" for name, value in self.headers]
        if self.chunked:
            lines.append("transfer-encoding: chunked")
        elif self.body is not None:
            lines.append(f"content-length: {len(self.body)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def content(self) -> bytes:
        """Return the body as sent."""
        body = self.body or b""
        if not self.chunked:
            return body
        pieces = [body[start : start + 1000] for start in range(0, len(body), 1000)]
        return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, b""])


def quoted(doc_id: str, safe: str = "/") -> str:
    return quote(doc_id, safe=safe)


def post(target: str, body: object, *headers: tuple[str, str], gateway: str = "serving", **options: object) -> Case:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Case(gateway, "POST", target, headers or (JSON,), content, **options)  # type: ignore[arg-type]


def get(target: str, *headers: tuple[str, str], gateway: str = "serving", method: str = "GET") -> Case:
    return Case(gateway, method, target, headers)


def put(body: object, *headers: tuple[str, str], gateway: str = "serving") -> Case:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Case(gateway, "PUT", TRAFFIC, headers, content)


def patch(target: str, body: object) -> Case:
    return Case("serving", "PATCH", target, (JSON,), json.dumps(body).encode())


FIXED = (
    SEARCH, INGEST, FILES, JOBS, "/v1/collections", TRAFFIC, "/healthz", "/livez", "/readyz", "/metrics",
    EMBEDDINGS, MODELS, OLLAMA, PROMPT, "/api/tags", "/api/version", TEI, "/info", "/health",
    "/openapi.json", "/process",
)  # fmt: skip
TEMPLATES = (
    f"/v1/jobs/{JOB}",
    f"/v1/jobs/{JOB}/documents",
    f"/v1/jobs/{JOB}/cancel",
    f"/v1/jobs/{JOB}/retry",
    f"/v1/jobs/{JOB}/events",
    "/v1/collections/books",
    IN_BOOKS,
    f"{IN_BOOKS}/a",
    "/v1/collections/books/sources/shelf",
    REEMBED,
    f"{REEMBED}/switch",
    f"{REEMBED}/rollback",
    f"{REEMBED}/overlap",
    "/v1/collections/books/web-search",
    AZURE,
    f"{MODELS}/a-model",
)
