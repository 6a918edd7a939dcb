"""What the audit log records, and its lines.

Every request that may change something has a line, and so has every denial. A route is recorded unless ``READS`` names
its operation, so that a new route cannot be forgotten.
"""

import time
from typing import Final, Literal

import msgspec

READS: Final = frozenset(
    {
        "search",
        "search_batch",
        "search_similar",
        "count_facets",
        "get_documents",
        "web_search",
        "rerank",
        "rerank_v2",
        "rerank_texts",
        "create_embeddings",
        "create_azure_embeddings",
        "ollama_embed",
        "ollama_embeddings",
        "tei_embed",
        "load_file",  # returns the text of a file, and stores nothing
        "mcp",  # its tools read
    }
)
"""Operations that change nothing although their method is not GET."""

ANONYMOUS: Final = "anonymous"
"""Id of the principal of every request while access control is off."""
COMMAND_LINE: Final = "command-line"
"""Id of the principal of the changes by ``python -m tandem_gateway keys``."""

ADMIN_TOKEN: Final = "admin-token"  # noqa: S105 - a name
"""Id of the principal of a request with TANDEM_ADMIN_TOKEN."""

Outcome = Literal["done", "denied", "failed"]

_READING: Final = ("GET", "HEAD", "OPTIONS")
_DENIALS: Final = (401, 403)
_DENIAL_CODES: Final = ("unauthorized", "forbidden")
_MAX_CHARS: Final = 100


class AuditLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line; docs/access.md says what each field means."""

    time: str
    request_id: str | None = None
    principal: str | None = None
    principal_name: str | None = None
    role: str | None = None
    client: str | None = None
    action: str | None = None
    method: str | None = None
    route: str | None = None
    collection: str | None = None
    job_id: str | None = None
    key_id: str | None = None
    documents: int | None = None
    outcome: Outcome
    status: int | None = None
    code: str | None = None


class LostLines(msgspec.Struct, frozen=True, kw_only=True):
    """The line that tells how many lines before it were lost."""

    time: str
    action: str = "audit_lines_lost"
    lines: int


_encoder: Final = msgspec.json.Encoder()


def is_write(method: str, operation: str | None) -> bool:
    """Return whether a request may change something; an unknown operation changes nothing."""
    return operation is not None and method not in _READING and operation not in READS


def outcome_of(status: int, code: str | None) -> Outcome:
    """Return the outcome of a request.

    Args:
        status: status of the reply.
        code: code of its error; None for none. An error of an MCP tool has a code and the status 200.
    """
    if status in _DENIALS or code in _DENIAL_CODES or (status == 429 and code != "overloaded"):
        return "denied"
    return "done" if status < 400 and code is None else "failed"


def short(text: str | None) -> str | None:
    """Return the begin of a name that may come from a client, without lone surrogates."""
    if text is None:
        return None
    return text[:_MAX_CHARS].encode(errors="replace").decode()


def rfc3339_now() -> str:
    """Return the time in UTC, with milliseconds."""
    now = time.time()
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{int(now % 1 * 1000):03d}Z"


def encoded(line: AuditLine | LostLines) -> bytes:
    """Return a line as JSON, with the end of the line."""
    return _encoder.encode(line) + b"\n"
