"""The pure parts of the bulk ingest: batches, digests, verdicts, counts, resume files."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_client import ApiError, BulkOptions, Conflict, DocumentInput, InvalidRequest, Overloaded, Unauthorized
from tandem_client.bulk.batches import Batch, Batcher, Unsendable
from tandem_client.bulk.delivery import Accepted, Refused, deliver, verdict_of
from tandem_client.bulk.resume import ResumeFile
from tandem_client.bulk.tally import Tally
from tandem_contract.client_api import DocumentFailure, Job, SkippedDocument


def cut(documents: list[Any], **options: Any) -> list[Batch | Unsendable]:
    batcher = Batcher(BulkOptions(**options))
    found = list(itertools.chain.from_iterable(batcher.add(document) for document in documents))
    return [*found, *batcher.rest()]


def batch(*texts: str, number: str = "0") -> Batch:
    return Batch(number, tuple(range(len(texts))), tuple(json.dumps({"text": text}).encode() + b"\n" for text in texts))


def a_job(documents: int, **fields: Any) -> Job:
    return Job("job_1", "pending", documents, 0, None, None, None, **fields)


@given(
    texts=st.lists(st.text(max_size=40), max_size=60),
    most=st.integers(1, 7),
    most_bytes=st.integers(1, 200),
)
def test_batches_have_all_documents_in_order_within_their_limits(texts: list[str], most: int, most_bytes: int) -> None:
    found = [part for part in cut(texts, batch_documents=most, batch_bytes=most_bytes) if isinstance(part, Batch)]
    lines = [line for part in found for line in part.lines]
    assert [json.loads(line)["text"] for line in lines] == texts
    assert [position for part in found for position in part.positions] == list(range(len(texts)))
    assert [part.number for part in found] == [str(number) for number in range(len(found))]
    for part in found:
        assert 1 <= len(part.lines) <= most
        assert len(part.body) <= most_bytes or len(part.lines) == 1


@given(texts=st.lists(st.text(max_size=20), min_size=2, max_size=20))
def test_halves_make_the_whole_and_have_other_digests(texts: list[str]) -> None:
    whole = batch(*texts)
    first, second = whole.halves()
    assert first.lines + second.lines == whole.lines
    assert first.positions + second.positions == whole.positions
    assert first.lines
    assert second.lines
    assert len({part.digest(BulkOptions()) for part in (whole, first, second)}) == 3


def test_a_digest_follows_from_place_documents_and_options() -> None:
    options = BulkOptions()
    assert batch("a").digest(options) == batch("a").digest(options)
    others = [
        batch("b").digest(options),
        batch("a", number="1").digest(options),
        batch("a").digest(BulkOptions(collection="x")),
        batch("a").digest(BulkOptions(on_error="reject")),
    ]
    assert len({batch("a").digest(options), *others}) == 5


def test_documents_come_in_three_forms() -> None:
    (found,) = cut(["a", {"text": "b", "id": 1}, DocumentInput("c", metadata={"x": None})])
    assert isinstance(found, Batch)
    assert [json.loads(line) for line in found.lines] == [
        {"text": "a"},
        {"text": "b", "id": 1},
        {"text": "c", "metadata": {"x": None}},
    ]


@pytest.mark.parametrize(
    "document",
    [
        {"text": "a", "metadata": {"x": float("nan")}},
        {"text": "a", "metadata": {"x": [1, float("inf")], "y": None}},
        {"text": "half a pair \ud800"},
        {"text": "a", "metadata": {"x": object()}},
    ],
    ids=["nan", "inf", "surrogate", "object"],
)
def test_what_json_cannot_say_is_not_sent(document: dict[str, Any]) -> None:
    found = cut(["before", document, "after"])
    assert [type(part) for part in found] == [Unsendable, Batch]
    assert isinstance(found[0], Unsendable)
    assert found[0].position == 1
    assert "JSON" in found[0].reason
    assert isinstance(found[1], Batch)
    assert found[1].positions == (0, 2)
    with pytest.raises(ValueError, match=r"document 1: it cannot be sent as JSON"):
        cut(["before", document], on_error="reject")


@pytest.mark.parametrize("document", [7, b"bytes", None, ["a"]])
def test_what_is_no_document_is_an_error_of_the_program(document: object) -> None:
    with pytest.raises(TypeError, match="document 1: a document is a text, a mapping or a DocumentInput"):
        cut(["a", document])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_documents", 0),
        ("batch_documents", 10_001),
        ("batch_bytes", 0),
        ("batch_bytes", (16 << 20) + 1),
        ("concurrency", 0),
        ("concurrency", 65),
        ("max_pending_jobs", 0),
        ("max_failures", -1),
        ("stall_seconds", 0),
        ("on_error", "ignore"),
    ],
)
def test_an_option_out_of_its_range_is_named(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=name):
        BulkOptions(**{name: value})  # type: ignore[arg-type]


def invalid(status: int, code: str, field: str | None) -> InvalidRequest:
    return InvalidRequest("no", status=status, code=code, field=field)


@pytest.mark.parametrize(
    ("error", "documents", "verdict"),
    [
        (invalid(413, "body_too_large", None), 2, "halve"),
        (invalid(413, "body_too_large", None), 1, "leave_out"),
        (invalid(422, "limit_exceeded", "documents"), 2, "halve"),
        (invalid(422, "missing_field", "documents[0].text"), 2, "leave_out"),
        (invalid(422, "invalid_field", "collection"), 2, "stop"),
        (invalid(400, "malformed_body", None), 2, "stop"),
        (Unauthorized("no", status=401), 2, "stop"),
        (Conflict("no", status=409), 2, "stop"),
        (Overloaded("no", status=429), 2, "stop"),
    ],
)
def test_the_verdict_about_a_refused_batch(error: ApiError, documents: int, verdict: str) -> None:
    assert verdict_of(error, documents, BulkOptions()) == verdict


def test_a_document_that_is_not_valid_stops_a_run_that_rejects() -> None:
    reject = BulkOptions(on_error="reject")
    assert verdict_of(invalid(422, "missing_field", "documents[0].text"), 2, reject) == "stop"
    assert verdict_of(invalid(413, "body_too_large", None), 1, reject) == "stop"
    assert verdict_of(invalid(413, "body_too_large", None), 2, reject) == "halve"


@given(documents=st.integers(1, 40), limit=st.integers(1, 40))
def test_a_gateway_with_a_lower_limit_gets_all_documents_once_in_order(documents: int, limit: int) -> None:
    whole = batch(*(str(number) for number in range(documents)))
    steps = deliver(whole, "run", BulkOptions())
    stored: list[str] = []
    keys = set()
    try:
        call = next(steps)
        while True:
            keys.add(call.headers["idempotency-key"])
            texts = [json.loads(line)["text"] for line in call.body.splitlines()]
            if len(texts) > limit:
                call = steps.throw(invalid(422, "limit_exceeded", "documents"))
            else:
                stored += texts
                call = steps.send(a_job(len(texts)))
    except StopIteration as done:
        delivered = done.value
    assert stored == [str(number) for number in range(documents)]
    assert all(isinstance(part, Accepted) for part in delivered)
    assert all(len(key) <= 255 and key.isascii() for key in keys)


def test_the_tally_counts_and_keeps_the_first_failures() -> None:
    ticks: Iterator[float] = itertools.count(0.0, 2.0)
    tally = Tally(BulkOptions(max_failures=3), lambda: next(ticks))
    skipped = [SkippedDocument(1, None, "documents[1].text", "documents[1].text: blank")]
    whole = Batch("0", (10, 11, 12), (b"{}\n",) * 3)
    tally.delivered(Accepted(whole, a_job(2, skipped_documents=1, skipped=skipped)))
    tally.delivered(Refused(Batch("1", (13, 14), (b"{}\n",) * 2), invalid(422, "missing_field", "documents[0].text")))
    assert tally.report().pending == 2
    tally.ended(a_job(2, failed_documents=1, failures=[DocumentFailure("x", "e" * 1000)], unchanged_documents=1))
    report = tally.report()
    assert (report.accepted, report.skipped, report.failed, report.unchanged, report.pending) == (2, 3, 1, 1, 0)
    assert [(failure.position, failure.field) for failure in report.failures] == [
        (11, "text"),
        (13, "text"),
        (14, None),
    ]
    assert report.failures[0].reason == "documents[11].text: blank"
    assert report.seconds > 0


def test_a_resume_file_knows_the_batches_of_the_run_before(tmp_path: Path) -> None:
    file = tmp_path / "resume"
    options = BulkOptions(wait=True)
    one, other = batch("a"), batch("b", number="1")
    with ResumeFile(file, options) as first:
        assert first.jobs_of(one) is None
        first.done(one, [Accepted(one, a_job(1))])
    with ResumeFile(file, options) as second:
        assert second.run == first.run
        jobs = second.jobs_of(one)
        assert jobs is not None
        assert [(job.job_id, job.documents) for job in jobs] == [("job_1", 1)]
        assert second.jobs_of(other) is None
        assert second.jobs_of(one) is None


def test_a_line_that_was_cut_off_does_not_count(tmp_path: Path) -> None:
    file = tmp_path / "resume"
    parts = [batch("a"), batch("b", number="1")]
    with ResumeFile(file, BulkOptions()) as first:
        for part in parts:
            first.done(part, [Accepted(part, a_job(1))])
    whole = file.read_bytes()
    for length in range(whole.index(b"\n") + 1, len(whole)):
        file.write_bytes(whole[:length])
        with ResumeFile(file, BulkOptions()) as again:
            known = [again.jobs_of(part) is not None for part in parts]
            assert known in ([False, False], [True, False])
            assert again.run == first.run
            for part, done in zip(parts, known, strict=True):
                if not done:
                    again.done(part, [Accepted(part, a_job(1))])
        assert file.read_bytes() == whole


@pytest.mark.parametrize(
    "content",
    [
        b"no resume file",
        b"{}\n",
        b'{"tandem_resume":2,"run":"0123456789abcdef"}\n',
        b'{"tandem_resume":1,"run":"\\u00e9"}\n',
        b'{"text":"a"}\n{"text":"b"}\n',
        b"\xff\n",
    ],
)
def test_another_file_is_refused_and_left_alone(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "documents.jsonl"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"resume: .* is no resume file"):
        ResumeFile(file, BulkOptions())
    assert file.read_bytes() == content


def test_without_a_file_each_run_has_another_name() -> None:
    options = BulkOptions()
    assert ResumeFile(None, options).run != ResumeFile(None, options).run
