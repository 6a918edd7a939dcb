"""The gateway answers almost five hundred requests, valid and invalid, as ``golden/replies.json`` recorded them.

``python -m tests.gateway.http.make_golden_replies`` records them again.
"""

import json
from pathlib import Path

import pytest

from tandem_gateway.app import make_app
from tandem_gateway.lifecycle import Gateway
from tandem_gateway.settings import Settings
from tandem_runtime.request_id import AsgiApp
from tests.gateway.http.golden_case import SEARCH
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


@pytest.mark.parametrize("kind", ["serving", "small", "full", "starting"])
async def test_litestars_search_answers_as_the_one_before_it(kind: str, tmp_path: Path) -> None:
    def without_hot_routes(settings: Settings) -> tuple[AsgiApp, Gateway]:
        return make_app(settings, lambda: None, hot_routes=False)

    searches = {name: case for name, case in CASES.items() if case.target.startswith(SEARCH) and case.gateway == kind}
    replies = await replies_of(kind, searches, tmp_path, without_hot_routes)
    assert {name: reply for name, reply in replies.items() if reply != GOLDEN[name]} == {}
    assert replies.keys() == searches.keys()
    assert replies
