"""The gateway's Litestar application, and the wrapper that routes to it by exact paths."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, cast
from urllib.parse import unquote_to_bytes

from litestar import Litestar, Router
from litestar.di import Provide
from litestar.types import ControllerRouterHandler

from tandem_contract.decoding import cut
from tandem_gateway.errors import InvalidRequest
from tandem_gateway.http.admin import operators_router
from tandem_gateway.http.body import query_parameters
from tandem_gateway.http.caller import CallerGateways
from tandem_gateway.http.client_routes import COLLECTION_ROUTES, ingest
from tandem_gateway.http.compatible.ollama import OLLAMA_ROUTES
from tandem_gateway.http.compatible.open_webui import OPEN_WEBUI_ROUTES
from tandem_gateway.http.compatible.openai import OPENAI_ROUTES
from tandem_gateway.http.compatible.rerank import RERANK_ROUTES
from tandem_gateway.http.compatible.service import EmbeddingService
from tandem_gateway.http.compatible.tei import TEI_ROUTES
from tandem_gateway.http.docs import docs_router
from tandem_gateway.http.errors import reply_to
from tandem_gateway.http.exact_paths import (
    HEAD,
    HOST,
    PARAMETERS,
    QUERY,
    SERVED,
    ExactParameters,
    ExactPaths,
    without_slash,
)
from tandem_gateway.http.exceptions import on_error
from tandem_gateway.http.file_documents import FileDocumentsReader
from tandem_gateway.http.file_routes import ingest_files
from tandem_gateway.http.form import FormLimits
from tandem_gateway.http.ingest_body import IngestReader
from tandem_gateway.http.job_events import follow_job
from tandem_gateway.http.job_routes import JOB_ROUTES
from tandem_gateway.http.json_bodies import JsonRequest, StrictJson
from tandem_gateway.http.key_routes import keys_router
from tandem_gateway.http.limits import BodyLimits
from tandem_gateway.http.openapi import openapi_config
from tandem_gateway.http.probes import PROBES
from tandem_gateway.http.reembed_routes import REEMBED_ROUTES
from tandem_gateway.http.search_routes import SEARCH_ROUTES
from tandem_gateway.http.source_routes import put_source
from tandem_gateway.lifecycle import Gateway
from tandem_gateway.use_cases.canary.sharing import TrafficSharing
from tandem_gateway.use_cases.validation import RequestLimits
from tandem_runtime.http import CODE, ROUTE, method_not_allowed, refusal, shutting_down
from tandem_runtime.request_id import AsgiApp, Message, Receive, Scope, Send, header

_OFF: Final = {"/mcp": "set TANDEM_MCP=true to serve MCP here"}
"""Path of a route that is off → what switches it on."""

Lifespan = Callable[[Any], AbstractAsyncContextManager[None]]


def make_litestar(
    gateway: Gateway,
    limits: RequestLimits,
    bodies: BodyLimits,
    reader: IngestReader,
    form_limits: FormLimits,
    operators: tuple[TrafficSharing, str] | None = None,
    lifespan: Lifespan | None = None,
    *,
    embedding: EmbeddingService | None = None,
) -> Litestar:
    """Return the application with every route of the gateway, typed.

    Args:
        gateway: the gateway.
        limits: limits of one request, for the OpenAPI document.
        bodies: limits of bodies.
        reader: reads ingests.
        form_limits: limits of forms of files.
        operators: the traffic and the operators' token; None leaves the operators' routes out.
        lifespan: starts and stops the gateway.
        embedding: serves the routes for vectors; None makes one without metrics.
    """
    routers = [
        Router("/", route_handlers=SEARCH_ROUTES, request_max_body_size=bodies.search, tags=["search"]),
        Router(
            "/",
            route_handlers=[ingest, ingest_files, *JOB_ROUTES, follow_job],
            request_max_body_size=bodies.ingest,
            tags=["ingest"],
        ),
        Router("/", route_handlers=[*COLLECTION_ROUTES, put_source], tags=["documents"]),
        Router(
            "/",
            route_handlers=OPEN_WEBUI_ROUTES,
            opt={QUERY: None},
            request_max_body_size=bodies.search,
            tags=["compatible"],
        ),
        Router("/", route_handlers=REEMBED_ROUTES, tags=["models"]),
        Router(
            "/",
            route_handlers=RERANK_ROUTES,
            opt={QUERY: None},
            request_max_body_size=bodies.rerank,
            tags=["rerank"],
        ),
        Router(
            "/",
            route_handlers=[*OPENAI_ROUTES, *OLLAMA_ROUTES, *TEI_ROUTES],
            opt={QUERY: None},
            request_max_body_size=bodies.ingest,
            tags=["embeddings"],
        ),
        Router("/", route_handlers=PROBES, opt={QUERY: None}, tags=["service"]),
        docs_router(limits),
    ]
    provided: dict[str, object] = {"bodies": bodies, "reader": reader}
    provided["gateway"] = Provide(CallerGateways(gateway).of, sync_to_thread=False)
    provided |= {"form_limits": form_limits, "file_reader": FileDocumentsReader(limits)}
    provided["embedding"] = embedding or EmbeddingService(gateway, bodies, None)
    if operators is not None:
        provided["traffic"], token = operators
        routers.append(operators_router(token, gateway))
    routers.append(keys_router(gateway))
    return strict_litestar(routers, provided, lifespan)


def strict_litestar(
    route_handlers: Sequence[ControllerRouterHandler], provided: Mapping[str, object], lifespan: Lifespan | None = None
) -> Litestar:
    """Return an application with strict bodies and our errors, independent of the environment.

    Args:
        route_handlers: handlers and routers.
        provided: name → dependency of that name, or a ``Provide`` that makes it.
        lifespan: runs around the application.
    """
    return Litestar(
        [Router("/", route_handlers=route_handlers, opt={SERVED: True})],
        dependencies={name: _provide(value) for name, value in provided.items()},
        dto=StrictJson,
        return_dto=None,
        request_class=JsonRequest,
        middleware=[ExactParameters()],
        exception_handlers={Exception: on_error},
        lifespan=[] if lifespan is None else [lifespan],
        logging_config=None,  # the runtime configures logging; Litestar's would start a thread and a root handler
        # By default the variables LITESTAR_DEBUG and LITESTAR_PDB decide: tracebacks in replies, and a debugger.
        debug=False,
        pdb_on_exception=False,
        multipart_form_part_limit=16,
        openapi_config=openapi_config(),
    )


def _provide(value: object) -> Provide:
    if isinstance(value, Provide):
        return value

    def provider() -> Any:
        return value

    return Provide(provider, sync_to_thread=False)


def routed_exactly(app: Litestar) -> AsgiApp:
    """Return ``app`` with routes that match exact paths only, HEAD for each GET, and an answer at a shutdown."""
    paths = ExactPaths(app.routes)
    litestar = cast(AsgiApp, app)

    async def routed(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await litestar(scope, receive, send)
            return
        method = scope["method"]
        asked = "GET" if method == "HEAD" else method
        found = paths.find(scope["path"], asked)
        if found is None:
            hint = _OFF.get(without_slash(scope["path"]), "GET /docs shows the routes")
            message = f"there is nothing at {cut(scope['path'])}; {hint}"
            await refusal("not_found", message, "path").send(scope, send)
            return
        route, parameters = found
        scope[ROUTE] = route.template
        if asked not in route.methods:
            await method_not_allowed(scope, route.allow).send(scope, send)
            return
        if not _is_utf8(scope, parameters):
            message = "path: is not UTF-8 once its percent-encoding is decoded, so it names no document"
            await refusal("invalid_field", message, "path").send(scope, send)
            return
        if scope["query_string"] and (names := route.query[asked]) is not None:
            try:
                query_parameters(scope, *names)
            except InvalidRequest as error:
                await reply_to(error).send(scope, send)
                return
        # Litestar refuses some names of hosts that the service takes, so it does not see the header.
        headers = [(name, value) for name, value in scope["headers"] if name != b"host"]
        inner_scope = {HOST: header(scope, b"host"), HEAD: method == "HEAD", "method": asked, "headers": headers}
        path = {"path": route.canonical, "raw_path": route.canonical.encode(), PARAMETERS: parameters}
        inner = {**scope, **path, **inner_scope}
        await _answered(litestar, inner, receive, send)
        if CODE in inner:
            scope[CODE] = inner[CODE]

    return routed


def _is_utf8(scope: Scope, parameters: Mapping[str, str]) -> bool:
    """Return whether the path has a document's id as it was sent: the server replaces bytes that are not UTF-8."""
    if "document_id" not in parameters or "\N{REPLACEMENT CHARACTER}" not in parameters["document_id"]:
        return True
    try:
        unquote_to_bytes(scope["raw_path"]).decode()
    except UnicodeDecodeError:
        return False
    return True


async def _answered(app: AsgiApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve a request; tell the client if the service's shutdown, and only that cancels requests, cancels this one."""
    started = False

    async def send_and_note(message: Message) -> None:
        nonlocal started
        started = True
        await send(message)

    try:
        await app(scope, receive, send_and_note)
    except asyncio.CancelledError:
        if not started:
            await shutting_down().send(scope, send)
