"""The hot routes, which are served before Litestar; each is also a route in Litestar, which documents it."""

import msgspec

from tandem_gateway.http.authentication import PRINCIPAL
from tandem_gateway.http.body import caller_timeout, query_parameters, read_json
from tandem_gateway.http.clock import now
from tandem_gateway.http.compatible import ollama, tei
from tandem_gateway.http.compatible.openai import embeddings_reply
from tandem_gateway.http.compatible.service import EmbeddingService
from tandem_gateway.http.errors import reply_to
from tandem_gateway.http.limits import BodyLimits
from tandem_gateway.http.messages import ReceivedSearch, search_command
from tandem_gateway.http.search_reply import write_search_reply
from tandem_gateway.lifecycle import Gateway
from tandem_runtime.body import cancel_on_disconnect
from tandem_runtime.http import Endpoint, Reply
from tandem_runtime.request_id import Receive, Scope

_search_decoder = msgspec.json.Decoder(ReceivedSearch)


def hot_endpoints(gateway: Gateway, bodies: BodyLimits, embedding: EmbeddingService) -> list[Endpoint]:
    """Return the endpoints that are served before Litestar."""

    async def search(scope: Scope, receive: Receive) -> Reply:
        started = now()
        if scope["query_string"]:
            query_parameters(scope)
        request = await read_json(scope, receive, _search_decoder, bodies.search)
        work = gateway.ready(scope.get(PRINCIPAL)).search_pipeline.answer(
            search_command(request), caller_timeout(scope)
        )
        answer = await cancel_on_disconnect(scope, receive, work)
        return await write_search_reply(answer, started, bodies.answer, bodies.memory)

    async def embeddings(scope: Scope, receive: Receive) -> Reply:
        return await embeddings_reply(scope, receive, embedding)

    async def ollama_embed(scope: Scope, receive: Receive) -> Reply:
        return await ollama.embed_reply(scope, receive, embedding)

    async def tei_embed(scope: Scope, receive: Receive) -> Reply:
        return await tei.embed_reply(scope, receive, embedding)

    return [
        Endpoint("/v1/search", {"POST": search}, reply_to),
        Endpoint("/v1/embeddings", {"POST": embeddings}, reply_to),
        Endpoint("/api/embed", {"POST": ollama_embed}, reply_to),
        Endpoint("/embed", {"POST": tei_embed}, reply_to),
    ]
