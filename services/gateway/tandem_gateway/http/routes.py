"""The hot route, which is served before Litestar; ``search_routes.search`` is the same route in Litestar."""

import msgspec

from tandem_gateway.http.authentication import PRINCIPAL
from tandem_gateway.http.body import caller_timeout, read_json
from tandem_gateway.http.clock import now
from tandem_gateway.http.errors import reply_to
from tandem_gateway.http.limits import BodyLimits
from tandem_gateway.http.messages import ReceivedSearch, search_command
from tandem_gateway.http.search_reply import write_search_reply
from tandem_gateway.lifecycle import Gateway
from tandem_runtime.body import cancel_on_disconnect
from tandem_runtime.http import Endpoint, Reply
from tandem_runtime.request_id import Receive, Scope

_search_decoder = msgspec.json.Decoder(ReceivedSearch)


def hot_endpoints(gateway: Gateway, bodies: BodyLimits) -> list[Endpoint]:
    """Return the endpoints that are served before Litestar."""

    async def search(scope: Scope, receive: Receive) -> Reply:
        started = now()
        request = await read_json(scope, receive, _search_decoder, bodies.search)
        work = gateway.ready(scope.get(PRINCIPAL)).search_pipeline.answer(
            search_command(request), caller_timeout(scope)
        )
        answer = await cancel_on_disconnect(scope, receive, work)
        return await write_search_reply(answer, started, bodies.answer, bodies.memory)

    return [Endpoint("/v1/search", {"POST": search}, reply_to)]
