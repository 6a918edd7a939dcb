"""How many connections of a database a gateway takes."""

from typing import Final

from tandem_gateway.adapters.postgres import store

# The threads of the store: readers, writers, and the one that cleans.
_STORE: Final = store._READERS + store._WRITERS + 1
# A connection each: the question that searches share, the vector index, the keyword index, the filters, the watch, and
# the keys with their usage.
_FOLLOWERS: Final = 6
STANDING: Final = _STORE + _FOLLOWERS
"""While a gateway serves."""
CONNECTIONS: Final = STANDING + 2
"""At most: the process that saves snapshots has one more, and so has the cancellation of a late statement."""
SHARED_CONNECTIONS: Final = CONNECTIONS + 1
"""At most, of a gateway that shares snapshots: the registry of snapshots has one more."""
