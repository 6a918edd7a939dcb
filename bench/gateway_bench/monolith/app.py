"""Baseline A: the Python monolith of the published comparison, FastAPI + sentence-transformers + NumPy in one process.

It follows the published description: PyTorch float32 on the CPU, handlers in FastAPI's thread pool, one model, and
vectors in one NumPy array that a search multiplies by the query. It has the part of the client API that the benchmark
needs, and nothing that Tandem adds: no store, no coalescing, no bounds.

Run it in an environment of its own::

    python -m venv .venv-monolith
    .venv-monolith/bin/pip install -r bench/gateway_bench/monolith/requirements.txt
    cd bench && ../.venv-monolith/bin/uvicorn gateway_bench.monolith.app:app --port 8001

``MONOLITH_MODEL`` is the model's folder or name.
"""

import os
import threading
import time
import uuid
from typing import Any

import numpy as np
import numpy.typing as npt
from fastapi import BackgroundTasks, FastAPI, HTTPException
from pydantic import BaseModel, Field
from sentence_transformers import SentenceTransformer

_DIM = 384


class DocumentInput(BaseModel):
    """A document of an ingest."""

    text: str
    id: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)


class IngestRequest(BaseModel):
    """The body of ``POST /v1/ingest``."""

    documents: list[DocumentInput]


class SearchRequest(BaseModel):
    """The body of ``POST /v1/search``."""

    query: str
    top_k: int = 5


class Index:
    """Vectors ``(n, 384) float32`` of unit length, and the documents they belong to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.vectors: npt.NDArray[np.float32] = np.empty((0, _DIM), np.float32)
        self.documents: list[DocumentInput] = []

    def add(self, documents: list[DocumentInput], vectors: npt.NDArray[np.float32]) -> None:
        """Append documents."""
        with self._lock:
            self.vectors = np.concatenate([self.vectors, vectors])
            self.documents = [*self.documents, *documents]

    def search(self, query: npt.NDArray[np.float32], count: int) -> list[tuple[float, DocumentInput]]:
        """Return the nearest documents, by descending cosine."""
        with self._lock:
            vectors, documents = self.vectors, self.documents
        scores = vectors @ query
        nearest = np.argsort(-scores)[:count]
        return [(float(scores[place]), documents[place]) for place in nearest]


app = FastAPI()
model = SentenceTransformer(os.environ.get("MONOLITH_MODEL", "sentence-transformers/all-MiniLM-L6-v2"), device="cpu")
index = Index()
jobs: dict[str, dict[str, Any]] = {}


@app.post("/v1/ingest", status_code=202)
def ingest(request: IngestRequest, tasks: BackgroundTasks) -> dict[str, Any]:
    """Begin to embed documents in the background."""
    job_id = str(uuid.uuid4())
    jobs[job_id] = {
        "job_id": job_id,
        "status": "pending",
        "total_documents": len(request.documents),
        "processed_documents": 0,
        "error": None,
        "started_at": None,
        "finished_at": None,
    }
    tasks.add_task(_run_job, job_id, request.documents)
    return jobs[job_id]


@app.get("/v1/jobs/{job_id}")
def job(job_id: str) -> dict[str, Any]:
    """Return a job."""
    if job_id not in jobs:
        raise HTTPException(404, "unknown job")
    return jobs[job_id]


@app.post("/v1/search")
def search(request: SearchRequest) -> dict[str, Any]:
    """Embed a query and return the nearest documents; an empty index answers at once, as in the original."""
    started = time.perf_counter()
    hits: list[tuple[float, DocumentInput]] = []
    if index.documents:
        vector = model.encode(request.query, normalize_embeddings=True, show_progress_bar=False)
        hits = index.search(np.asarray(vector, np.float32), request.top_k)
    return {
        "results": [
            {"id": found.id, "score": score, "text": found.text, "metadata": found.metadata} for score, found in hits
        ],
        "took_ms": (time.perf_counter() - started) * 1000,
    }


@app.get("/healthz")
def healthz() -> dict[str, Any]:
    """Return the state of the service."""
    return {"status": "ok", "model_loaded": True, "document_count": len(index.documents)}


def _run_job(job_id: str, documents: list[DocumentInput]) -> None:
    record = jobs[job_id]
    record.update(status="running", started_at=time.time())
    try:
        for document in documents:
            document.id = document.id or str(uuid.uuid4())
        vectors = model.encode(
            [document.text for document in documents], normalize_embeddings=True, show_progress_bar=False
        )
        index.add(documents, np.asarray(vectors, np.float32))
        record.update(status="completed", processed_documents=len(documents))
    except Exception as error:
        record.update(status="failed", error=str(error))
    record["finished_at"] = time.time()
