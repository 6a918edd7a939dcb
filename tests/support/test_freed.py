"""The helper that detects an error that keeps itself alive."""

import gc

from tandem_gateway.errors import EmbedderUnavailable
from tests.support.freed import assert_gone, failure_of, no_collector


async def test_the_helper_tells_an_error_that_keeps_itself():
    async def call() -> None:
        error: Exception | None = None
        try:
            raise EmbedderUnavailable("x")
        except EmbedderUnavailable as failure:
            error = failure
        raise error

    with no_collector():
        (reference,) = await failure_of(call)
        assert reference() is not None
    gc.collect()
    await assert_gone([reference])
