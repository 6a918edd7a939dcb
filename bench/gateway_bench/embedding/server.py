"""Runs one embedding server during its measurement: starts and ends a command, or calls a URL."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2 as httpx

from gateway_bench.architectures.outside import Outside, command_line, ended
from gateway_bench.embedding.shapes import Shape, Vectors, WrongAnswer
from tandem_contract.embed import Kind
from tandem_tools.process import Process, ProcessFailed, free_port, inherited_environment
from tandem_tools.readiness import Ready

_ANSWER_SECONDS = 60.0
# With these statuses a server says that it has no such route, or does not understand the request.
_WRONG_SHAPE = frozenset({400, 404, 405, 415, 422})


@dataclass(frozen=True)
class EmbeddingServer:
    """A server to measure."""

    outside: Outside
    shape: Shape
    variables: Mapping[str, str] = field(default_factory=dict)
    """Environment variables of a command, with the placeholder ``{port}``."""

    @property
    def name(self) -> str:
        """The name in the table."""
        return self.outside.name


class Serving:
    """A running server."""

    def __init__(self, server: EmbeddingServer, url: str, model: str, process: Process | None) -> None:
        self.server = server
        self.url = url
        self._model = model
        self._process = process

    @property
    def pids(self) -> dict[str, int]:
        """Name → process id; nothing for a URL without a known process."""
        return self.server.outside.observed if self._process is None else {self.server.name: self._process.pid}

    def check(self) -> None:
        """Notice that the process has ended.

        Raises:
            ProcessFailed: with the end of its log.
        """
        if self._process is not None:
            self._process.check()
        elif (problem := ended(self.server.outside.observed)) is not None:
            raise ProcessFailed(problem)

    def body(self, texts: Sequence[str], kind: Kind) -> bytes:
        """Return the body of a request."""
        return self.server.shape.encode(texts, kind, self._model)

    def embed(self, texts: Sequence[str], kind: Kind) -> Vectors:
        """Return the vectors of texts, ``(n, dim)``.

        Raises:
            ProcessFailed: if the server does not answer with 200.
            WrongAnswer: if the answer has no embedding of each text.
        """
        with httpx.Client(trust_env=False, timeout=_ANSWER_SECONDS) as client:
            try:
                response = _post(client, self.url + self.server.shape.path, self.body(texts, kind))
            except httpx.TransportError as error:
                self.check()
                raise ProcessFailed(f"{self.url} does not answer: {str(error) or type(error).__name__}") from error
        if response.status_code != 200:
            raise ProcessFailed(f"POST {self.server.shape.path} {_status(response)}")
        return self.server.shape.vectors(response.content, len(texts))


def _embeds(shape: Shape, url: str, body: bytes) -> Ready:
    """Return a check that is ready once the server answers ``body`` with an embedding."""

    def look(http: httpx.Client) -> str | None:
        response = _post(http, url + shape.path, body)
        if response.status_code in _WRONG_SHAPE:
            raise WrongAnswer(f"POST {shape.path} {_status(response)}: is {shape.name} its shape?")
        if response.status_code != httpx.codes.OK:
            return f"POST {shape.path} {_status(response)}"
        shape.vectors(response.content, 1)
        return None

    return look


@contextmanager
def serving(server: EmbeddingServer, model: str, folder: Path, ready_seconds: float) -> Iterator[Serving]:
    """Yield the server once it answers; a command is ended afterwards.

    Args:
        server: the server.
        model: name of the model in requests of the shape ``openai``.
        folder: a command runs in it and writes its log there.
        ready_seconds: time in which a command must answer with an embedding.

    Raises:
        ProcessFailed: if a command ends or is not ready in time.
        WrongAnswer: if the server answers in another shape.
    """
    if server.outside.url is not None:
        yield Serving(server, server.outside.url, model, None)
        return
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    variables = {name: value.replace("{port}", str(port)) for name, value in server.variables.items()}
    process = Process(
        "command",
        command_line(server.outside.command, port, folder),
        folder / "command.log",
        env=inherited_environment() | {"PORT": str(port), **variables},
        cwd=folder,
        ready=_embeds(server.shape, url, server.shape.encode(["ready?"], "query", model)),
        ready_seconds=ready_seconds,
    )
    with process:
        yield Serving(server, url, model, process)


def _post(client: httpx.Client, url: str, body: bytes) -> httpx.Response:
    return client.post(url, content=body, headers={"content-type": "application/json", "accept": "application/json"})


def _status(response: httpx.Response) -> str:
    return f"answered {response.status_code}: {' '.join(response.text.split())[:200]}"
