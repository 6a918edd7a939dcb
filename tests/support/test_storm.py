"""The checker of the storm accepts a sound gateway and reports each kind of wrong answer."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import httpx2
import msgspec
import pytest

from tandem_contract.client_api import Collection, Job, ReceivedSearchHit
from tandem_tools.client import ApiError
from tests.support.stack import Client
from tests.support.storm import check as checking
from tests.support.storm.model import CollectionModel, Content, JobModel, Violation, deleted, dropped, ingested

TEXTS = {f"d{number}": Content(f"text {number}", number) for number in range(5)}


@dataclass
class FakeGateway:
    """Answers as a gateway with this content; a test makes an answer wrong."""

    documents: dict[str, Content] | None = field(default_factory=lambda: dict(TEXTS))
    jobs: dict[str, Job] = field(default_factory=lambda: {"job": job()})
    found: Callable[[str, str], list[str]] = lambda text, mode: []
    """Ids that a search for a text finds beside the documents that have it."""
    lost_by: str = ""
    """Mode of search that finds nothing."""

    def collections(self) -> list[Collection]:
        if self.documents is None:
            return []
        return [Collection("books", len(self.documents), 0, None, None, None)]

    def document(self, doc_id: str, collection: str) -> Any:
        content = (self.documents or {}).get(doc_id)
        if content is None:
            raise not_found()
        return SimpleNamespace(text=content.text, metadata=msgspec.json.encode({"n": content.n}))

    def job(self, job_id: str) -> Job:
        if job_id not in self.jobs:
            raise not_found()
        return self.jobs[job_id]

    def search(self, text: str, top_k: int, collection: str, mode: str) -> Any:
        known = self.documents or {}
        ids = [*self.found(text, mode), *(key for key, content in known.items() if content.text == text)]
        hits = [ReceivedSearchHit(key, 1.0, known.get(key, TEXTS[key]).text, {"n": TEXTS[key].n}) for key in ids]
        return SimpleNamespace(results=[] if mode == self.lost_by else hits)


def job(**fields: Any) -> Job:
    return Job(**{
        "job_id": "job", "status": "completed", "total_documents": 5, "processed_documents": 5, "error": None,
        "started_at": None, "finished_at": None, **fields,
    })  # fmt: skip


def not_found() -> ApiError:
    return ApiError("GET answered 404", httpx2.Response(404))


def model() -> CollectionModel:
    made = CollectionModel("books")
    made.wrote(ingested(TEXTS), TEXTS, acknowledged=True)
    return made


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "FOLLOW_SECONDS", 0.0)


def check(gateway: FakeGateway, expected: CollectionModel, jobs: dict[str, JobModel] | None = None) -> None:
    checking.check(cast(Client, gateway), [expected], jobs or {"job": JobModel(5, 0)}, random.Random(1))


def test_a_sound_gateway_passes():
    check(FakeGateway(), model())


def without(doc_id: str) -> dict[str, Content]:
    return {key: content for key, content in TEXTS.items() if key != doc_id}


WRONG = {
    "an acknowledged document is lost": FakeGateway(without("d3")),
    "an acknowledged document is older": FakeGateway({**TEXTS, "d3": Content("text of before", 3)}),
    "metadata is older": FakeGateway({**TEXTS, "d3": Content("text 3", 2)}),
    "the collection is lost": FakeGateway(None),
    "a document is there that nobody sent": FakeGateway({**TEXTS, "other": Content("text 3", 3)}),
    "the job is lost": FakeGateway(jobs={}),
    "the job has lost a document": FakeGateway(jobs={"job": job(total_documents=4, processed_documents=4)}),
    "the job does not end": FakeGateway(jobs={"job": job(status="running", processed_documents=4)}),
    "the job has failed documents": FakeGateway(jobs={"job": job(failed_documents=1)}),
    "the job has unchanged documents": FakeGateway(jobs={"job": job(unchanged_documents=1)}),
    "vector search does not find a document": FakeGateway(lost_by="dense"),
    "keyword search does not find a document": FakeGateway(lost_by="lexical"),
    "another document ranks first": FakeGateway(found=lambda text, mode: ["d0"] if text == "text 3" else []),
    "a document is found twice": FakeGateway(found=lambda text, mode: ["d3"] if text == "text 3" else []),
}


@pytest.mark.parametrize("gateway", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_answer_is_a_violation(gateway: FakeGateway):
    with pytest.raises(Violation):
        check(gateway, model())


def test_a_deleted_document_must_not_come_back():
    expected = model()
    expected.wrote(deleted("d3"), acknowledged=True)
    check(FakeGateway(without("d3")), expected)
    with pytest.raises(Violation, match="expected None, found"):
        check(FakeGateway(), expected)


@pytest.mark.parametrize("mode", ["dense", "lexical"])
def test_no_search_may_find_a_deleted_document(mode: str):
    expected = model()
    expected.wrote(deleted("d3"), acknowledged=True)
    found = FakeGateway(without("d3"), found=lambda text, asked: ["d3"] if (text, asked) == ("text 3", mode) else [])
    with pytest.raises(Violation, match="a search returned d3"):
        check(found, expected)


def test_a_deleted_collection_must_not_come_back():
    expected = model()
    expected.wrote(dropped, acknowledged=True)
    check(FakeGateway(None), expected)
    with pytest.raises(Violation):
        check(FakeGateway(), expected)
    with pytest.raises(Violation):
        check(FakeGateway({}), expected)


def test_a_write_without_a_reply_took_effect_or_did_not_but_not_in_part():
    newer = {"d3": Content("a newer text", 3), "d4": Content("another", 4)}
    for documents in (TEXTS, {**TEXTS, **newer}):
        expected = model()
        expected.wrote(ingested(newer), newer, acknowledged=False)
        assert len(expected.worlds) == 2
        check(FakeGateway(dict(documents)), expected)
        assert expected.world == documents
    expected = model()
    expected.wrote(ingested(newer), newer, acknowledged=False)
    with pytest.raises(Violation, match="contradicts all 2"):
        check(FakeGateway({**TEXTS, "d3": newer["d3"]}), expected)


def test_what_was_seen_once_has_to_stay():
    expected = model()
    expected.wrote(deleted("d3"), acknowledged=False)
    check(FakeGateway(without("d3")), expected)
    with pytest.raises(Violation):
        check(FakeGateway(), expected)


def test_a_jobs_progress_never_falls():
    known = JobModel(5, 0)
    known.check(job(status="running", processed_documents=3), finished=False)
    with pytest.raises(Violation, match="wrong counts"):
        known.check(job(status="running", processed_documents=2), finished=False)


def test_an_older_version_is_a_hit_only_while_documents_wait():
    expected = model()
    newer = {"d3": Content("a newer text", 3)}
    expected.wrote(ingested(newer), newer, acknowledged=True)
    expected.check_hits([("d3", TEXTS["d3"])], embedded=False)
    with pytest.raises(Violation):
        expected.check_hits([("d3", TEXTS["d3"])], embedded=True)
    with pytest.raises(Violation):
        expected.check_hits([("d3", Content("of nobody", 0))], embedded=False)
