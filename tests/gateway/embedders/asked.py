"""The client of an embedder, over a transport that answers as a test says."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tandem_gateway.adapters.embedder_client import HttpEmbedder
from tandem_gateway.adapters.http.messages import Response
from tandem_gateway.records.embedders import Embeddings
from tandem_runtime.tokens import Tokens
from tests.support.embedder_over_tcp import TEXTS


@dataclass(frozen=True)
class Request:
    """A call, as the client received it."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    fresh: bool


Answer = Callable[[Request], Response]


class Asked:
    """An embedder client over a transport that answers with ``answer``."""

    def __init__(self, answer: Answer, tokens: Tokens | None = None) -> None:
        self.requests: list[Request] = []
        self.outcomes: list[str] = []
        self._answer = answer
        self.client = HttpEmbedder(
            "http://embedder", self, on_call=lambda outcome, seconds: self.outcomes.append(outcome), tokens=tokens
        )

    async def call(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        timeout: float,
        fresh: bool = False,
        max_bytes: int = 0,
    ) -> Response:
        self.requests.append(Request(method, path, headers, body, fresh))
        return self._answer(self.requests[-1])

    async def embed(self, timeout: float = 5.0) -> Embeddings:
        return await self.client.embed(TEXTS, kind="document", priority="bulk", timeout=timeout)


def raw(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]


def answering(status: int, content: bytes = b"", headers: dict[str, str] | None = None) -> Asked:
    return Asked(lambda request: Response(status, raw(headers or {}), content))
