"""``python stub_search.py PORT DATA [FAULT]``: a server with the client API that finds the last ingested documents.

FAULT is ``loading`` (never ready), ``refusing`` (each job fails) or ``dies`` (ends at the 20th search). It answers
``/healthz`` and has no ``/readyz``.
"""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_DYING_AT = 20

fault = sys.argv[3] if len(sys.argv) > 3 else ""
documents: dict[str, str] = {}
asked: list[str] = []


def answer(path: str, body: dict[str, Any]) -> tuple[int, object]:
    """Return status and answer of a request."""
    if path == "/healthz":
        return (503, {"status": "loading"}) if fault == "loading" else (200, {"document_count": len(documents)})
    if path == "/v1/ingest":
        documents.update({document["id"]: document["text"] for document in body["documents"]})
        return 202, {"job_id": "1"}
    if path == "/v1/jobs/1":
        count = len(documents)
        status = "failed" if fault == "refusing" else "completed"
        return 200, {"status": status, "error": "disk full", "processed_documents": count, "total_documents": count}
    if path == "/v1/search":
        asked.append(body["query"])
        if len(asked) == _DYING_AT and fault == "dies":
            print("out of memory", file=sys.stderr, flush=True)
            os._exit(9)
        hits = [
            {"id": name, "score": 0.5, "text": text} for name, text in list(documents.items())[-body.get("top_k", 5) :]
        ]
        return 200, {"results": hits}
    return 404, {"error": {"message": "no such route"}}


class Handler(BaseHTTPRequestHandler):
    """Answers JSON."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._send(*answer(self.path, {}))

    def do_POST(self) -> None:
        self._send(*answer(self.path, json.loads(self.rfile.read(int(self.headers["content-length"])))))

    def _send(self, status: int, found: object) -> None:
        body = json.dumps(found).encode()
        head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        self.wfile.write(head.encode() + body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


assert os.environ["PORT"] == sys.argv[1]
assert Path(sys.argv[2]).is_dir()
server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
server.daemon_threads = True
server.serve_forever()
