"""The gateway answers almost five hundred requests, good and bad, as ``golden/replies.json`` recorded it.

``python -m tests.gateway.http.make_golden_replies`` records anew.
"""

import json
from pathlib import Path

import pytest

from tests.gateway.http.golden_gateways import GATEWAYS, REPLIES, replies_of
from tests.gateway.http.golden_requests import CASES

GOLDEN = json.loads(REPLIES.read_text())


def test_each_case_has_a_recorded_reply() -> None:
    assert list(GOLDEN) == list(CASES)
    statuses = {reply["status"] for reply in GOLDEN.values()}
    assert {200, 202, 400, 401, 403, 404, 405, 413, 415, 422, 429, 500, 503, 504} <= statuses


@pytest.mark.parametrize("kind", GATEWAYS)
async def test_the_replies_are_the_recorded_ones(kind: str, tmp_path: Path) -> None:
    replies = await replies_of(kind, CASES, tmp_path)
    recorded = {name: GOLDEN[name] for name, case in CASES.items() if case.gateway == kind}
    assert {name: reply for name, reply in replies.items() if reply != recorded[name]} == {}
    assert len(replies) == len(recorded) > 0
