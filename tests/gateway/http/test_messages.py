"""The translation between the contract's messages and the gateway's own types."""

import msgspec

from tandem_contract.client_api import Health, SearchRequest
from tandem_gateway import __version__
from tandem_gateway.http.filters import read_filter
from tandem_gateway.http.messages import ReceivedSearch, health_reply, search_command
from tandem_gateway.records.health import GatewayHealth
from tandem_gateway.use_cases.commands import SearchCommand


def test_a_search_becomes_a_command_with_every_field():
    request = ReceivedSearch("what?", 7, "books", "lexical")
    assert search_command(request) == SearchCommand("what?", 7, "books", "lexical")
    assert search_command(ReceivedSearch("q", include=("vector", "vector"), exclude=("text",))) == SearchCommand(
        "q", 5, "default", "auto", include=frozenset({"vector"}), exclude=frozenset({"text"})
    )
    derived = ("meaning", "constrained")  # the pipeline sets these
    assert SearchCommand.__struct_fields__ == (*SearchRequest.__struct_fields__, *derived)


def test_a_search_may_ask_for_highlights():
    assert search_command(ReceivedSearch("q", highlight=True)).highlight


def test_the_defaults_of_the_client_api_reach_the_command():
    request = msgspec.json.decode(b'{"query": "q"}', type=ReceivedSearch)
    assert search_command(request) == SearchCommand("q", 5, "default", "auto")


def test_the_filter_of_a_search_keeps_its_digits():
    body = b'{"query": "q", "filter": {"n": {"$gt": 12345678901234567890.125}, "a": 1}}'
    found = search_command(msgspec.json.decode(body, type=ReceivedSearch))
    assert found.filter == read_filter(b'{"n": {"$gt": 12345678901234567890.125}, "a": 1}')
    assert "12345678901234567890.125" in str(found.filter)
    assert search_command(msgspec.json.decode(b'{"query": "q", "filter": null}', type=ReceivedSearch)).filter is None


def test_the_health_becomes_a_reply_with_the_version():
    health = GatewayHealth("degraded", False, 3, 2, "m", "f", "no embedder")
    assert health_reply(health) == Health("degraded", False, 3, 2, "m", "f", __version__, "no embedder")
