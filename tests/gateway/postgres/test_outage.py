"""An outage of the database: who tries again, who fails at once, and when the next attempt is made."""

import psycopg
import pytest

from tandem_gateway.adapters.postgres import outage as module
from tandem_gateway.adapters.postgres.kept_connection import KeptConnection
from tandem_gateway.adapters.postgres.outage import GRACE_SECONDS, PAUSE_SECONDS, Outage


class Server:
    """Counts the attempts to connect to it, and refuses them until it is up."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.attempts = 0
        self.up = False
        self.now = 100.0
        monkeypatch.setattr(module, "connect", self._connect)
        self.outage = Outage(lambda: self.now)

    def _connect(self, url: str, *, prepared: bool) -> str:
        self.attempts += 1
        if not self.up:
            raise psycopg.OperationalError("nobody there")
        return "a connection"

    def fails(self) -> None:
        with pytest.raises(psycopg.OperationalError, match="nobody there"):
            self.outage.connect("", prepared=True)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    return Server(monkeypatch)


def test_at_first_each_attempt_reaches_for_the_server(server: Server):
    for attempts in range(1, 5):
        server.fails()
        assert server.attempts == attempts
        assert not server.outage.is_known


def test_later_one_attempt_in_a_while_is_made_and_the_rest_fail_at_once(server: Server):
    server.fails()
    server.now += GRACE_SECONDS
    assert server.outage.is_known
    server.fails()
    assert server.attempts == 2
    for _ in range(10):
        server.fails()
    assert server.attempts == 2
    server.now += PAUSE_SECONDS
    server.fails()
    assert server.attempts == 3


def test_a_server_that_is_back_ends_the_outage(server: Server):
    server.fails()
    server.now += GRACE_SECONDS + PAUSE_SECONDS
    server.up = True
    assert server.outage.connect("", prepared=True) == "a connection"
    assert not server.outage.is_known
    server.up = False
    server.fails()
    assert not server.outage.is_known


def test_a_connection_is_not_tried_again_during_a_known_outage(server: Server):
    server.fails()
    server.now += GRACE_SECONDS + PAUSE_SECONDS
    kept = KeptConnection("")
    kept._outage = server.outage
    for _ in range(3):
        with pytest.raises(psycopg.OperationalError):
            kept.usable()
    assert server.attempts == 2
