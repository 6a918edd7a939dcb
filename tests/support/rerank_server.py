"""A rerank server with a small cross-encoder, for tests: ``python -m tests.support.rerank_server PORT``.

Its ONNX graph looks at the token ids of query and document: the share of the query's tokens that the document has. It
speaks the APIs of TEI (``/rerank``, at most 32 texts) and Cohere (``/v2/rerank``). ``POST /fault`` with a name from
``FAULTS`` makes it fail, and ``POST /fault`` with ``none`` makes it well.
"""

import asyncio
import json
import math
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import uvicorn
from onnx import TensorProto, helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from tandem_tools.process import free_port
from tests.support.processes import ServiceProcess

MODEL = "overlap-cross-encoder"
MAX_BATCH = 32
TOKEN = "a-secret-token"
FAULTS = ("none", "unavailable", "overloaded", "broken", "incomplete", "endless", "hung", "silent")

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


def overlap_graph() -> bytes:
    """Return the model: ``query`` (q,) and ``document`` (d,) int64 → ``logit`` (), which is 8 * share - 4."""
    nodes = [
        helper.make_node("Unsqueeze", ["query", "last"], ["rows"]),
        helper.make_node("Unsqueeze", ["document", "first"], ["columns"]),
        helper.make_node("Equal", ["rows", "columns"], ["same"]),
        helper.make_node("Cast", ["same"], ["ones"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["ones"], ["found"], axes=[1], keepdims=0),
        helper.make_node("ReduceMean", ["found"], ["share"], axes=[0], keepdims=0),
        helper.make_node("Mul", ["share", "eight"], ["scaled"]),
        helper.make_node("Sub", ["scaled", "four"], ["logit"]),
    ]
    graph = helper.make_graph(
        nodes,
        "overlap",
        [helper.make_tensor_value_info(name, TensorProto.INT64, [name]) for name in ("query", "document")],
        [helper.make_tensor_value_info("logit", TensorProto.FLOAT, [])],
        [
            helper.make_tensor("first", TensorProto.INT64, [1], [0]),
            helper.make_tensor("last", TensorProto.INT64, [1], [1]),
            helper.make_tensor("eight", TensorProto.FLOAT, [], [8.0]),
            helper.make_tensor("four", TensorProto.FLOAT, [], [4.0]),
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(made)
    content: bytes = made.SerializeToString()
    return content


def words_tokenizer() -> Tokenizer:
    """Return a tokenizer of bytes in words: every word is one token, whatever it is."""
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


class CrossEncoder:
    """Scores pairs of texts."""

    def __init__(self) -> None:
        self._session = onnxruntime.InferenceSession(overlap_graph(), providers=["CPUExecutionProvider"])
        self._tokenizer = words_tokenizer()

    def logit(self, query: str, document: str) -> float:
        ids = {"query": self._ids(query), "document": self._ids(document)}
        return float(self._session.run(["logit"], ids)[0])

    def _ids(self, text: str) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Return the ids of the text's words. A word that is new gets the next id of the vocabulary."""
        assert self._tokenizer.normalizer is not None
        assert self._tokenizer.pre_tokenizer is not None
        normal = self._tokenizer.normalizer.normalize_str(text)
        words = [word for word, _ in self._tokenizer.pre_tokenizer.pre_tokenize_str(normal)]
        self._tokenizer.add_tokens([word for word in words if self._tokenizer.token_to_id(word) is None])
        return np.array([self._tokenizer.token_to_id(word) for word in words], np.int64)


def sigmoid(logit: float) -> float:
    return 1.0 / (1.0 + math.exp(-logit))


def share_score(query: str, document: str) -> float:
    """Return the score that the server gives a document, computed without it."""
    words, others = set_of(query), set(set_of(document))
    return sigmoid(8.0 * sum(word in others for word in words) / len(words) - 4.0)


def set_of(text: str) -> list[str]:
    return [word for word, _ in pre_tokenizers.Whitespace().pre_tokenize_str(text.lower())]


class App:
    """The server as an ASGI application."""

    def __init__(self) -> None:
        self.encoder = CrossEncoder()
        self.fault = "none"

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body", False):
                break
        status, reply = await self._answer(scope["path"], body, receive)
        content = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    async def _answer(self, path: str, body: bytes, receive: Receive) -> tuple[int, Any]:
        if path == "/fault":
            self.fault = body.decode()
            return 200, {}
        if path == "/health":
            return (503 if self.fault in ("unavailable", "silent") else 200), {}
        match self.fault:
            case "unavailable":
                return 503, {"error": "the model is loading", "error_type": "Unhealthy"}
            case "overloaded":
                return 429, {"error": "Model is overloaded", "error_type": "Overloaded"}
            case "broken":
                return 200, b'{"results": "nonsense"}'
            case "endless":
                return 200, b"[" + b" " * (8 << 20) + b"]"
            case "hung":
                while (await receive())["type"] != "http.disconnect":
                    pass
                return 500, {}
        request = json.loads(body)
        documents: Sequence[str] = request["texts" if path == "/rerank" else "documents"]
        logits = [self.encoder.logit(request["query"], text) for text in documents]
        order = sorted(range(len(documents)), key=lambda place: -logits[place])
        if self.fault == "incomplete":
            order = order[1:]
        if path == "/rerank":
            if len(documents) > MAX_BATCH:
                return 422, {"error": f"batch size {len(documents)} > maximum allowed batch size {MAX_BATCH}"}
            raw = request["raw_scores"]
            scores = [logit if raw else sigmoid(logit) for logit in logits]
            return 200, [{"index": place, "score": scores[place]} for place in order]
        if request.get("model", MODEL) != MODEL:
            return 404, {"message": f"model {request['model']!r} not found"}
        results = [
            {"index": place, "relevance_score": sigmoid(logits[place]), "document": {"text": documents[place]}}
            for place in order
        ]
        return 200, {"id": "x", "results": results[: request["top_n"]], "usage": {"total_tokens": len(documents)}}


def rerank_server(folder: Path, name: str = "reranker") -> ServiceProcess:
    """Return a server that is not started."""
    port = free_port()
    return ServiceProcess(
        "tests.support.rerank_server",
        [str(port)],
        ready_url=f"http://127.0.0.1:{port}/health",
        log_path=folder / f"{name}.log",
    )


def url_of(server: ServiceProcess) -> str:
    assert server.ready_url is not None
    return server.ready_url.removesuffix("/health")


async def serve(port: int) -> None:
    config = uvicorn.Config(App(), host="127.0.0.1", port=port, lifespan="off", log_level="warning")
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
