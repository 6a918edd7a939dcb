"""Connects to PostgreSQL, and translates its errors into the domain's."""

import select
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg import errors

from tandem_gateway.errors import DeadlineExceeded, GatewayError, Overloaded, StorageCorrupt, StorageUnavailable

Connection = psycopg.Connection[tuple[Any, ...]]

# A server that is gone is noticed within seven seconds, in a statement and between statements. Keepalives do not run
# while sent data waits to be acknowledged; then the time-out of TCP counts.
_NETWORK: Final[dict[str, Any]] = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 3,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "tcp_user_timeout": 6000,
}
# The time-out of TCP also runs while the server does not read what it was sent.
_PATIENCE_MILLISECONDS: Final = 60_000
_REASONS: Final = {
    "53300": "the database takes no more connections",
    "53": "the database has no disk space or memory left",
    "25006": "the database is read-only",
    "57P": "the database is starting or stopping",
    "28": "the database refuses the user or the password",
    "3D": "the database does not exist",
    "42": "the database has not the tables of this release",
    "08": "the connection to the database was lost",
}
"""Begin of PostgreSQL's error code → reason in the error message for clients; the first that fits counts."""
_RETRIED: Final = (errors.SerializationFailure, errors.DeadlockDetected, errors.LockNotAvailable)


def connect(url: str, *, prepared: bool = True, patient: bool = False) -> Connection:
    """Return a connection in autocommit mode.

    Args:
        url: a connection string of libpq; what it sets takes precedence.
        prepared: whether statements are prepared. PgBouncer before 1.21 cannot do that in its transaction mode.
        patient: whether the server may let a client that sends much wait for a minute.

    Raises:
        psycopg.Error: the server cannot be reached.
    """
    given = psycopg.conninfo.conninfo_to_dict(url)
    network = _NETWORK | {"tcp_user_timeout": _PATIENCE_MILLISECONDS} if patient else _NETWORK
    options = {name: value for name, value in network.items() if name not in given}
    options.setdefault("application_name", given.get("application_name") or "tandem-gateway")
    connection = psycopg.connect(url, autocommit=True, **options)
    connection.prepare_threshold = 5 if prepared else None
    return connection


def is_usable(connection: Connection) -> bool:
    """Return whether an idle connection is open still; takes some microseconds.

    A server that ended the connection meanwhile has sent its goodbye, or closed it.
    """
    if connection.closed or connection.broken:
        return False
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)
    return not poll.poll(0)


def is_retried(error: BaseException) -> bool:
    """Return whether a transaction that failed has done nothing, and may succeed if it is run again."""
    return isinstance(error, _RETRIED)


def is_lost(error: BaseException) -> bool:
    """Return whether the connection was lost, so that nobody knows whether the transaction was committed."""
    if not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return False
    code = error.sqlstate
    return code is None or code.startswith(("08", "57P"))


def explain(error: psycopg.Error) -> GatewayError:
    """Return the domain's error for one of PostgreSQL's."""
    code = error.sqlstate or ""
    told = f"PostgreSQL: {' '.join(str(error).split())} ({code or type(error).__name__})"
    if code == "57014":
        return DeadlineExceeded("the database took too long; the write may still take effect")
    if isinstance(error, _RETRIED):
        return Overloaded("the database is busy with other writes of the same documents")
    if code.startswith("XX") or code in ("22021", "22P05"):  # a damaged page or index; text that is not UTF-8
        return StorageCorrupt("the store is damaged; see the gateway's log", detail=told)
    reason = next((reason for begin, reason in _REASONS.items() if code.startswith(begin)), None)
    if reason is None:
        lost = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
        reason = _REASONS["08"] if lost else "see the gateway's log"
    return StorageUnavailable(f"the store cannot be read or written now: {reason}", detail=told)


@contextmanager
def translated() -> Iterator[None]:
    """Translate PostgreSQL's errors in the body into the domain's."""
    try:
        yield
    except psycopg.Error as error:
        raise explain(error) from error
