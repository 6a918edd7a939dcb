"""Stand-ins for the service of a language model."""

import contextlib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.http_servers import JsonHandler, running

NAME = "repeating"

Answer = Callable[[dict[str, Any]], dict[str, Any]]
"""Takes the body of a request for a completion, and returns the message of the assistant."""


@contextlib.contextmanager
def served_model(answer: Answer) -> Iterator[str]:
    """Serve a model by OpenAI's API, without streams; yields the base URL."""

    class Handler(JsonHandler, BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.reply({"object": "list", "data": [{"id": NAME, "object": "model", "owned_by": "tests"}]})

        def do_POST(self) -> None:
            choice = {"index": 0, "message": answer(self.read_json()), "finish_reason": "stop"}
            self.reply({"id": "one", "object": "chat.completion", "created": 0, "model": NAME, "choices": [choice]})

    with running(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as url:
        yield f"{url}/v1"


def repeated(asked: dict[str, Any]) -> dict[str, Any]:
    """Answer with the prompt that was given."""
    prompt = "\n".join(str(message["content"]) for message in asked["messages"])
    return {"role": "assistant", "content": prompt}
