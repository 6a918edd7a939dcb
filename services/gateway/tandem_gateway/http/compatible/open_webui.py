"""Open WebUI's routes: its external web search over a collection, and its external document loader.

Both are as Open WebUI 0.12 calls them. Unknown fields and query parameters are ignored.
"""

import asyncio
from dataclasses import dataclass
from pathlib import PurePath
from typing import Annotated, Any, Final
from urllib.parse import quote, unquote_to_bytes

import msgspec
from litestar import Request, post, put
from litestar.di import NamedDependency
from litestar.openapi.spec import OpenAPIMediaType, Operation, Parameter, RequestBody
from litestar.openapi.spec import Schema as LitestarSchema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType
from litestar.params import JSONBody, PathParameter
from litestar.response import Response

from tandem_contract import headers
from tandem_contract.compatible.open_webui import LoadedDocument, WebSearchRequest, WebSearchResult
from tandem_contract.decoding import cut
from tandem_gateway.errors import InvalidRequest
from tandem_gateway.extraction.formats import FORMATS, format_of
from tandem_gateway.http.asgi_types import receive_of, scope_of
from tandem_gateway.http.body import caller_timeout
from tandem_gateway.http.caller import CallerGateway
from tandem_gateway.http.exact_paths import HOST
from tandem_gateway.http.exceptions import Sent
from tandem_gateway.http.form import FormLimits
from tandem_gateway.http.ingest_body import IngestReader
from tandem_gateway.http.limits import INGEST_SHARE, BodyLimits
from tandem_gateway.http.openapi_operations import WEB_SEARCH_EXAMPLES, refusals, with_body
from tandem_gateway.records.files import ExtractionTask, UploadedFile
from tandem_gateway.records.search import Hit
from tandem_gateway.use_cases.commands import SearchCommand
from tandem_gateway.use_cases.result_pages import Answer
from tandem_runtime.body import cancel_on_disconnect, read_body
from tandem_runtime.http import Reply
from tandem_runtime.request_id import header

MAX_SNIPPET_CHARS: Final = 4_000
"""A longer passage is cut. A collection without passages has whole documents instead."""

_FILENAME: Final = headers.FILENAME.encode()
_SCHEMES: Final = ("http://", "https://")
_IN_LOOP_CHARS: Final = 64 << 10
_TYPES: Final = {
    "text/plain": ".txt",
    "text/markdown": ".md",
    "text/html": ".html",
    "text/csv": ".csv",
    "application/jsonl": ".jsonl",
    "application/x-ndjson": ".jsonl",
    "application/pdf": ".pdf",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
}
"""Media type → end of a name, for a file whose name tells no format."""

_NULL: Final = msgspec.Raw(b"null")
_encoder = msgspec.json.Encoder()


class _Shown(msgspec.Struct, frozen=True):
    """The fields of a document's metadata that a result shows."""

    url: msgspec.Raw = _NULL
    link: msgspec.Raw = _NULL
    source: msgspec.Raw = _NULL
    title: msgspec.Raw = _NULL
    file: msgspec.Raw = _NULL


class _Extracted(msgspec.Struct, frozen=True):
    text: msgspec.Raw
    metadata: msgspec.Raw


class _Loaded(msgspec.Struct, frozen=True):
    page_content: msgspec.Raw
    metadata: msgspec.Raw


_shown = msgspec.json.Decoder(_Shown)
_extracted = msgspec.json.Decoder(_Extracted)


@post(
    "/v1/collections/{collection:str}/web-search",
    status_code=200,
    operation_id="web_search",
    operation_class=with_body(WebSearchRequest, WEB_SEARCH_EXAMPLES),
    summary="Search a collection as Open WebUI searches the web.",
    response_description="The documents that answer the query, the best first.",
    responses=refusals(400, 403, 404, 408, 413, 415, 422, 429, 500, 503, 504),
)
async def web_search(
    collection: Annotated[str, PathParameter(description="Name of the collection.")],
    data: JSONBody[WebSearchRequest],
    request: Request[Any, Any, Any],
    gateway: NamedDependency[CallerGateway],
    reader: NamedDependency[IngestReader],
) -> Response[list[WebSearchResult]]:
    """Answer a search of Open WebUI."""
    if not 1 <= data.count <= reader.limits.top_k:
        raise InvalidRequest(
            f"count: a number from 1 to {reader.limits.top_k} was expected, not {cut(str(data.count))}",
            param="count",
            code="limit_exceeded",
        )
    scope = scope_of(request)
    command = SearchCommand(data.query, data.count, collection, "auto")
    work = gateway.ready().search_pipeline.answer(command, caller_timeout(scope))
    answer = await cancel_on_disconnect(scope, receive_of(request), work)
    base = f"{scope['scheme']}://{(scope[HOST] or b'localhost').decode('latin-1')}"
    chars = sum(len(hit.metadata) + min(len(hit.text), MAX_SNIPPET_CHARS) for hit in answer.hits)
    if chars <= _IN_LOOP_CHARS:
        return Sent(Reply(200, _encode_results(answer, collection, base)))
    return Sent(Reply(200, await asyncio.to_thread(_encode_results, answer, collection, base)))


def _encode_results(answer: Answer, collection: str, base: str) -> bytes:
    return b"[" + b",".join(_encoder.encode(result_of(hit, collection, base)) for hit in answer.hits) + b"]"


def result_of(hit: Hit, collection: str, base: str) -> WebSearchResult:
    """Return a hit as a result.

    Args:
        hit: the hit.
        collection: its collection.
        base: URL of the gateway, for a document without a link.
    """
    shown = _shown.decode(hit.metadata)
    links = map(_text, (shown.url, shown.link, shown.source))
    link = next((each for each in links if each.lower().startswith(_SCHEMES)), None)
    if link is None:
        link = f"{base}/v1/collections/{collection}/documents?id={quote(hit.doc_id, safe='')}"
    title = next((each for each in map(_text, (shown.title, shown.file)) if each.strip()), hit.doc_id)
    passage = hit.passage
    text = hit.text if passage is None else hit.text[passage.start : passage.stop]
    return WebSearchResult(link, title, text[:MAX_SNIPPET_CHARS])


def _text(raw: msgspec.Raw) -> str:
    """Return a value that is a string; an empty text for another one, which may be a number of any size."""
    value = bytes(raw)
    return str(msgspec.json.decode(value)) if value.startswith(b'"') else ""


@dataclass
class FileByBody(Operation):
    """An operation whose body is a file, which its handler reads."""

    def __post_init__(self) -> None:
        """Add the header and the body."""
        name = Parameter(
            name=headers.FILENAME,
            param_in="header",
            required=False,
            description="Name of the file, in UTF-8 with percent-encoding. Its end tells the format, or else the "
            f"content type: {', '.join(FORMATS)}.",
            schema=LitestarSchema(type=OpenAPIType.STRING),
        )
        self.parameters = [*(self.parameters or []), name]
        file = OpenAPIMediaType(schema=LitestarSchema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY))
        self.request_body = RequestBody(content={"application/octet-stream": file}, required=True)


@put(
    "/process",
    status_code=200,
    operation_id="load_file",
    operation_class=FileByBody,
    summary="Return the texts of a file for Open WebUI; nothing is stored.",
    response_description="The document of the file, or the list of its pages or rows.",
    responses=refusals(400, 403, 408, 413, 415, 422, 429, 500, 503, 504),
)
async def load_file(
    request: Request[Any, Any, Any],
    gateway: NamedDependency[CallerGateway],
    bodies: NamedDependency[BodyLimits],
    form_limits: NamedDependency[FormLimits],
    reader: NamedDependency[IngestReader],
) -> Response[LoadedDocument | list[LoadedDocument]]:
    """Read a file for Open WebUI. A lease holds the bytes of the file, then of what was read, then of the reply."""
    files = gateway.ready().files
    scope, receive = scope_of(request), receive_of(request)
    name = name_of_file(header(scope, _FILENAME) or b"", header(scope, b"content-type") or b"")
    lease = bodies.memory.lease(INGEST_SHARE)
    limit = min(bodies.ingest, form_limits.file_bytes)
    file = UploadedFile(name, bytes(await read_body(scope, receive, limit, lease=lease)))
    work = files.extract([file], ExtractionTask({}, reader.limits.documents), lease.add)
    del file
    (extraction,) = await cancel_on_disconnect(scope, receive, work)
    del work
    if extraction.error is not None:
        raise InvalidRequest(f"body: {cut(name)}: {extraction.error}", param="body")
    # The reply is as large as what was read, and both are there while it is made.
    lease.hold(2 * len(extraction.lines))
    if len(extraction.lines) <= _IN_LOOP_CHARS:
        content = encode_loaded(extraction.lines)
    else:
        content = await asyncio.to_thread(encode_loaded, extraction.lines)
    del extraction
    lease.hold(len(content))
    return Sent(Reply(200, content, lease=lease))


def encode_loaded(lines: bytes) -> bytes:
    """Return the documents of a file, one a line, as Open WebUI reads them: one as itself, several as a list."""
    loaded = []
    begin = 0
    while (end := lines.find(b"\n", begin)) >= 0:
        document = _extracted.decode(lines[begin:end])
        loaded.append(_encoder.encode(_Loaded(document.text, document.metadata)))
        begin = end + 1
    return loaded[0] if len(loaded) == 1 else b"[" + b",".join(loaded) + b"]"


def name_of_file(given: bytes, content_type: bytes) -> str:
    """Return the name of a file, with an end that tells its format.

    Args:
        given: the name as the header has it; may be empty.
        content_type: tells the format if the name does not.

    Raises:
        InvalidRequest: the name is not UTF-8 or too long, or neither header tells a format.
    """
    if len(given) > headers.MAX_FILENAME_BYTES:
        raise InvalidRequest(
            f"{headers.FILENAME}: at most {headers.MAX_FILENAME_BYTES} bytes are allowed, not {len(given)}",
            param=headers.FILENAME,
            code="limit_exceeded",
        )
    try:
        name = PurePath(unquote_to_bytes(given).decode().replace("\\", "/")).name
    except UnicodeDecodeError:
        raise InvalidRequest(
            f"{headers.FILENAME}: UTF-8 with percent-encoding was expected", param=headers.FILENAME
        ) from None
    if format_of(name) is not None:
        return name
    media_type = content_type.decode("latin-1").partition(";")[0].strip().lower()
    end = _TYPES.get(media_type)
    if end is None:
        raise InvalidRequest(
            f"{headers.FILENAME}: {cut(ascii(name))} has to end in one of {', '.join(FORMATS)}, as the content type "
            f"{cut(ascii(media_type))} tells no format",
            param=headers.FILENAME,
        )
    return f"{name or 'file'}{end}"


OPEN_WEBUI_ROUTES: Final = (web_search, load_file)
