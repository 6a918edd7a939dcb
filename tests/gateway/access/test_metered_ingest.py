"""The documents of an ingest count once for their key."""

import time
from pathlib import Path
from typing import cast

from tandem_gateway.access.accounts import Account, Clocks
from tandem_gateway.access.ingest import GuardedIngest
from tandem_gateway.access.principal import make_principal
from tandem_gateway.records.access import Usage
from tandem_gateway.records.documents import NewDocuments
from tandem_gateway.records.limits import parse_limits
from tandem_gateway.use_cases import caller
from tandem_gateway.use_cases.collections import Collections
from tandem_gateway.use_cases.ingest import Ingest
from tests.support.stores import document, opened


async def test_an_ingest_that_is_sent_twice_at_once_counts_once(tmp_path: Path):
    """Whatever the clocks say: here the job seems to be made after both requests came."""
    used = Account("a key", parse_limits(["documents=5/day"]), Clocks(), today=Usage())
    token = caller.current.set(used)
    try:
        with opened(tmp_path) as store:
            ingest = Ingest(store, on_accepted=lambda: None, clock=lambda: time.time() + 60)
            guarded = GuardedIngest(ingest, cast(Collections, None), make_principal("a key", "a key", "ingest", ("*",)))
            for _ in range(2):
                await guarded.accept("c", NewDocuments([document("a", "words")]), "once")
    finally:
        caller.current.reset(token)
    standing = used.tightest()
    assert standing is not None
    assert standing.left == 4
