"""Idempotency keys: which requests are the same, and the ids of documents without one."""

import dataclasses
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.errors import Conflict, InvalidRequest
from tandem_gateway.records.documents import NewDocument, NewDocuments
from tandem_gateway.records.job_documents import SkippedDocument
from tandem_gateway.use_cases.idempotency import KEY_PATTERN, idempotency_key, with_ids_of
from tandem_gateway.use_cases.ingest import Ingest
from tests.support.stores import document, opened

without_id = dataclasses.replace(document("random", "text"), given_id=False)
documents = st.lists(
    st.builds(
        lambda doc_id, text, given_id: dataclasses.replace(document(doc_id, text), given_id=given_id),
        st.sampled_from(["a", "b", "ab"]),
        st.sampled_from(["x", "y"]),
        st.booleans(),
    ),
    max_size=4,
)


def sent(collection: str, made: list[NewDocument]) -> tuple[object, ...]:
    return collection, *((each.doc_id if each.given_id else None, each.text) for each in made)


@given(st.sampled_from(["c", "ca"]), documents, st.sampled_from(["c", "ca"]), documents)
def test_two_requests_have_one_hash_if_a_client_sent_the_same(
    first: str, one: list[NewDocument], second: str, other: list[NewDocument]
):
    same = idempotency_key("k", first, one) == idempotency_key("k", second, other)
    assert same == (sent(first, one) == sent(second, other))


def test_what_was_skipped_and_that_it_may_be_skipped_is_a_part_of_the_request():
    one = SkippedDocument(0, "a", "documents[0].text", "it is blank", b"hash of one")
    requests: list[list[SkippedDocument] | None] = [
        None,
        [],
        [one],
        [dataclasses.replace(one, index=1)],
        [dataclasses.replace(one, content_hash=b"another hash")],
        [one, dataclasses.replace(one, index=1)],
    ]
    keys = {idempotency_key("k", "c", [document("b")], skipped).request_hash for skipped in requests}
    assert len(keys) == len(requests)
    same = dataclasses.replace(one, message="the same fault in the words of another release")
    assert idempotency_key("k", "c", [], [same]) == idempotency_key("k", "c", [], [one])


async def test_a_repeated_request_counts_what_it_skipped_once(tmp_path: Path):
    counted: list[int] = []
    skipped = [SkippedDocument(0, None, "documents[0]", "no object", b"hash")]
    with opened(tmp_path) as store:
        ingest = Ingest(store, on_accepted=lambda: None, on_skipped=counted.append)
        jobs = [(await ingest.accept("c", NewDocuments([without_id], None, skipped), "k"))[0] for _ in range(2)]
        assert jobs[0].job_id == jobs[1].job_id
        assert [job.skipped for job in jobs] == [1, 1]
        assert counted == [1]
        for others in (None, []):
            with pytest.raises(Conflict):
                await ingest.accept("c", NewDocuments([without_id], None, others), "k")
        await ingest.accept("c", NewDocuments([without_id], None, []))
        assert counted == [1]


def test_an_id_that_was_made_does_not_count_and_follows_from_the_job_and_the_place():
    other = dataclasses.replace(without_id, doc_id="another")
    assert idempotency_key("k", "c", [without_id]) == idempotency_key("k", "c", [other])
    ids = [each.doc_id for each in with_ids_of("job1", [without_id, document("mine"), other])]
    assert ids == [each.doc_id for each in with_ids_of("job1", [other, document("mine"), without_id])]
    assert ids[1] == "mine"
    assert re.fullmatch("[0-9a-f]{32}", ids[0])
    assert len({*ids, *(each.doc_id for each in with_ids_of("job2", [without_id, other]))}) == 5


@pytest.mark.parametrize("key", ["", " ", "a b", "é", "x" * 256, "a\n", "\x7f"])
def test_a_key_that_is_not_valid_is_refused(key: str):
    with pytest.raises(InvalidRequest, match="1 to 255 visible ASCII") as refusal:
        idempotency_key(key, "default", [])
    assert refusal.value.param == "idempotency-key"
    assert re.search(KEY_PATTERN.replace("$", r"\Z"), key) is None


@pytest.mark.parametrize("in_the_loop", [1000, 1])
async def test_a_repeated_request_gets_the_same_job_and_ids_also_after_a_restart(
    tmp_path: Path, in_the_loop: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tandem_gateway.use_cases.ingest._IN_THE_LOOP", in_the_loop)

    def request() -> NewDocuments:
        return NewDocuments([document("mine"), dataclasses.replace(without_id, doc_id=request.__name__)])

    replies = []
    for _ in range(2):
        with opened(tmp_path) as store:
            ingest = Ingest(store, on_accepted=lambda: None)
            for _ in range(2):
                job, ids = await ingest.accept("default", request(), "nightly")
                replies.append((job.job_id, *ids))
            for doc_id in ids:
                assert await store.document("default", doc_id) is not None
            with pytest.raises(Conflict):
                await ingest.accept("default", NewDocuments([document("other")]), "nightly")
    assert len(set(replies)) == 1
