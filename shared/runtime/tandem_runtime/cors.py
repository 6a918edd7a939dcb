"""Cross-origin resource sharing: which web pages may call the service and read its replies.

The protocol is https://fetch.spec.whatwg.org/#http-cors-protocol. It is implemented here, in the wrapper of all
requests, because a framework's component sees only the framework's routes: the hot route, refused requests and unknown
paths are answered without it, and a page could read no error of them.

Replies never allow credentials. Tandem has no cookies, and a page may set ``authorization`` itself.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from tandem_contract import headers
from tandem_contract.decoding import cut
from tandem_runtime.http import Reply, refusal
from tandem_runtime.request_id import Scope, header

ANY: Final = "*"
ALLOWED: Final = "tandem.cross_origin"
"""Scope key: true if the request comes from a page of an allowed origin."""

MAX_AGE_SECONDS: Final = 600
"""Time for which a browser keeps the answer to a preflight request. The requests that follow are checked each time."""

METHODS: Final = b"DELETE, GET, HEAD, PATCH, POST, PUT"
REQUEST_HEADERS: Final = (
    "accept", "api-key", "authorization", "content-encoding", "content-type", headers.IDEMPOTENCY_KEY, "if-none-match",
    "last-event-id", "mcp-protocol-version", "mcp-session-id", headers.POSITION, headers.REQUEST_ID, headers.TIMEOUT_MS,
    headers.TRACEPARENT, headers.TRACESTATE, "x-api-key", "x-filename",
)  # fmt: skip
"""Headers that a preflight reply always allows. It also allows those that the page asks for: SDKs add their own."""

EXPOSED: Final = (
    "allow", "etag", "location", "mcp-protocol-version", "mcp-session-id", "ratelimit", "ratelimit-limit",
    "ratelimit-policy", "ratelimit-remaining", "ratelimit-reset", "retry-after", "retry-after-ms", "www-authenticate",
    "x-should-retry", headers.POSITION, headers.REQUEST_ID, headers.TRACEPARENT, headers.TRUNCATED_DOCUMENTS,
    headers.TRUNCATED_INPUTS,
)  # fmt: skip
"""Headers of replies that a page may read."""

_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_MAX_ASKED: Final = 64
_MAX_SHOWN: Final = 100
_VARY: Final = (b"vary", b"origin")
_EXPOSE: Final = (b"access-control-expose-headers", ", ".join(EXPOSED).encode())

Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class CrossOrigin:
    """Rules for requests of web pages of other origins.

    Attributes:
        origins: allowed origins as browsers send them, such as ``https://app.example``; ``*`` allows every origin.
        setting: name of the variable that allows origins, for the message.
    """

    origins: frozenset[str]
    setting: str
    _allowed: frozenset[bytes] = field(init=False)
    _any: bool = field(init=False)

    def __post_init__(self) -> None:
        """Prepare the comparison with a request's bytes."""
        object.__setattr__(self, "_any", ANY in self.origins)
        object.__setattr__(self, "_allowed", frozenset(origin.encode() for origin in self.origins))

    def allows(self, origin: bytes | None) -> bool:
        """Return whether pages of an origin may call the service; None, the absent header, is no origin."""
        return origin is not None and (self._any or origin in self._allowed)

    def headers(self, origin: bytes | None) -> Headers:
        """Return the headers that every reply gets, to a request with this Origin header or without one.

        With ``*`` they are the same for all requests. Otherwise a cache must keep the replies to each origin apart.
        """
        if self._any:
            return (b"access-control-allow-origin", b"*"), _EXPOSE
        if origin is not None and origin in self._allowed:
            return (b"access-control-allow-origin", origin), _EXPOSE, _VARY
        return (_VARY,)

    def preflight(self, scope: Scope) -> Reply | None:
        """Return the reply to a preflight request; None for another request.

        ``headers`` adds the rest, as to every reply.
        """
        if scope["method"] != "OPTIONS" or header(scope, b"access-control-request-method") is None:
            return None
        origin = header(scope, b"origin")
        if origin is None:
            return None
        if not self.allows(origin):
            shown = cut(ascii(origin.decode("latin-1")), _MAX_SHOWN)
            return refusal("forbidden", f"origin: {shown} is not an allowed origin ({self.setting})", "origin")
        asked = header(scope, b"access-control-request-headers") or b""
        allowed = sorted({*REQUEST_HEADERS, *_names(asked.decode("latin-1").lower().split(",", _MAX_ASKED))})
        return Reply(
            204,
            b"",
            headers=(
                (b"access-control-allow-methods", METHODS),
                (b"access-control-allow-headers", ", ".join(allowed).encode()),
                (b"access-control-max-age", b"%d" % MAX_AGE_SECONDS),
                (b"vary", b"access-control-request-headers"),
            ),
        )


def _names(asked: Iterable[str]) -> Iterable[str]:
    return (name.strip() for name in asked if _TOKEN.fullmatch(name.strip()))
