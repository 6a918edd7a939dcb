"""Lists the fields of every message, to compare them with an older version."""

import re
from typing import Literal, get_args, get_origin

import msgspec

from tandem_contract import admin_api, client_api, embed, errors

SCHEMA_FILE = "schema.json"

REQUESTS = [
    embed.EmbedRequest,
    embed.Chunking,
    client_api.IngestRequest,
    client_api.DocumentInput,
    client_api.DocumentPatch,
    client_api.SearchRequest,
    client_api.SimilarRequest,
    admin_api.TrafficChange,
    admin_api.KeyRequest,
]
REPLIES = [
    embed.EmbedReply,
    embed.PackedEmbedReply,
    embed.Passage,
    embed.ReadyReply,
    errors.ErrorReply,
    errors.ErrorBody,
    client_api.Job,
    client_api.JobList,
    client_api.JobDocumentList,
    client_api.FilesJob,
    client_api.RetriedJob,
    client_api.IngestedFile,
    client_api.DocumentFailure,
    client_api.SearchReply,
    client_api.SearchHit,
    client_api.HitPassage,
    client_api.StoredDocument,
    client_api.Collection,
    client_api.CollectionList,
    client_api.Reembedding,
    client_api.SpaceOverlap,
    client_api.Deleted,
    client_api.Health,
    admin_api.Traffic,
    admin_api.Pool,
    admin_api.Replica,
    admin_api.RollBack,
    admin_api.Key,
    admin_api.NewKey,
    admin_api.KeyList,
]

WIDENED_FIELDS = {
    "DocumentInput.id": "str | int | None",
    "SearchReply.warnings": "list[typing.Literal['unknown_tokens', 'only_exclusions', 'group_limit', "
    "'not_reranked', 'rerank_truncated']]",
    "SearchHit.text": "str | msgspec.UnsetType",
    "SearchHit.metadata": "msgspec.Raw | msgspec.UnsetType",
    "SearchHit.passage": "tandem_contract.client_api.HitPassage | msgspec.UnsetType | None",
    "Health.document_count": "int | None",
    "Health.pending_documents": "int | None",
}
"""Field → its newer type: one of a request takes all values of the older type as well, one of a reply has them unless
the request says otherwise, or the operator switches access control on."""

WIDENED = {"dict[str, str | int | float | bool | None | list[str]]": str(client_api.Metadata)}
"""Older type of a request's field → newer type that takes all its values as well."""

Listing = dict[str, dict[str, dict[str, object]]]


_MODULE = re.compile(r"(tandem_contract\.client_api\.)[a-z]+\.")


def schema() -> Listing:
    """Return struct → field → type, whether it is required, and its default if it has one."""
    return {kind.__name__: fields_of(kind) for kind in [*REQUESTS, *REPLIES]}


def fields_of(kind: type[msgspec.Struct]) -> dict[str, dict[str, object]]:
    listing: dict[str, dict[str, object]] = {}
    for field in msgspec.structs.fields(kind):
        entry: dict[str, object] = {"type": type_name(field.type), "required": field.required}
        if not field.required:
            default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()  # type: ignore[operator]
            entry["default"] = "absent" if default is msgspec.UNSET else default
        listing[field.encode_name] = entry
    return listing


def type_name(kind: object) -> str | list[str]:
    """Return a type's name, or the words of a Literal. A Literal may grow, because readers accept unknown words."""
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    if isinstance(kind, type) and not hasattr(kind, "__args__"):
        return kind.__name__
    return _MODULE.sub(r"\1", str(kind))  # the module of a message may change


def breaches(older: Listing, newer: Listing) -> list[str]:
    """Return the changes that would break an older service or client; new fields with defaults do not break it."""
    found: list[str] = []
    for struct, fields in older.items():
        now = newer.get(struct)
        if now is None:
            found.append(f"{struct} is gone")
            continue
        for name, entry in fields.items():
            if name not in now:
                found.append(f"{struct}.{name} is gone")
            elif WIDENED_FIELDS.get(f"{struct}.{name}") == now[name]["type"]:
                continue
            elif {**now[name], "type": _without_growth(entry["type"], now[name]["type"])} != entry:
                found.append(f"{struct}.{name} was {entry}, is {now[name]}")
        found += [
            f"{struct}.{name} is new and required"
            for name, entry in now.items()
            if name not in fields and entry["required"]
        ]
    return found


def _without_growth(older: object, newer: object) -> object:
    if isinstance(older, str) and WIDENED.get(older) == newer:
        return older
    if isinstance(older, list) and isinstance(newer, list) and set(older) <= set(newer):
        return older
    return newer
