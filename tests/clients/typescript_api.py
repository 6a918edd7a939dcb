"""The part of the gateway's OpenAPI document that the TypeScript client has, and the types that are generated from it.

``python -m tests.clients.typescript_api`` writes ``clients/typescript/src/openapi.ts``.
"""

import hashlib
import inspect
import json
import re
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from tandem_gateway.settings import Settings
from tandem_gateway.use_cases.validation import RequestLimits
from tests.clients.environments import REPOSITORY
from tests.support.openapi import document

PACKAGE = REPOSITORY / "clients" / "typescript"
TYPES = PACKAGE / "src" / "openapi.ts"

_ROUTES = re.compile(r"/v1/(search|ingest|jobs|collections)\b|/healthz$")
_OTHERS = re.compile(r"/web-search$|/reembed\b")
"""Routes of other clients, and of operators."""

_HEAD = """\
// Made from the gateway's OpenAPI document by `make typescript-types`; change nothing here.
// document {document}
// types    {types}
"""


def _names(value: Any) -> Iterator[str]:
    """Yield the names of the schemas that a part of the document refers to."""
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"].rpartition("/")[2]
        for inner in value.values():
            yield from _names(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _names(inner)


def _plain(value: Any) -> Any:
    """Return a part of the document without the indentation of docstrings, which Python 3.13 removes itself."""
    if isinstance(value, dict):
        return {
            key: inspect.cleandoc(inner) if key == "description" and isinstance(inner, str) else _plain(inner)
            for key, inner in value.items()
        }
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


@cache
def described() -> dict[str, Any]:
    """Return the document of the client's routes, with the default limits, and without errors but their schema."""
    limits = Settings()
    whole = document(
        RequestLimits(
            documents=limits.max_documents,
            text_chars=limits.max_text_chars,
            metadata_bytes=limits.max_metadata_bytes,
            query_chars=limits.max_query_chars,
            top_k=limits.max_top_k,
        )
    )
    paths: dict[str, Any] = {}
    for path, operations in whole["paths"].items():
        if _ROUTES.match(path) and not _OTHERS.search(path):
            paths[path] = {
                method: {
                    **operation,
                    "responses": {
                        status: {key: value for key, value in response.items() if key != "headers"}
                        for status, response in operation["responses"].items()
                        if status.startswith("2")
                    },
                }
                for method, operation in operations.items()
            }
    schemas = whole["components"]["schemas"]
    wanted, found = {"ErrorReply", *_names(paths)}, set[str]()
    while wanted - found:
        name = min(wanted - found)
        found.add(name)
        wanted |= set(_names(schemas[name]))
    kept = {name: schema for name, schema in schemas.items() if name in found}
    found: dict[str, Any] = _plain({"openapi": whole["openapi"], "paths": paths, "components": {"schemas": kept}})
    return found


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def with_digests(types: str) -> str:
    """Return a file of types with the digests of what it was made from and of its content.

    They tell without the generator, which takes seconds, whether the file is that of today.

    Args:
        types: as the generator made them.
    """
    generator = json.loads((PACKAGE / "package.json").read_text())["devDependencies"]["openapi-typescript"]
    document = json.dumps([generator, described()], sort_keys=True)
    return _HEAD.format(document=_digest(document), types=_digest(types)) + types


def without_digests(content: str) -> str:
    """Return the types in a file that ``with_digests`` made."""
    return "".join(content.splitlines(keepends=True)[_HEAD.count("\n") :])


def generated() -> str:
    """Return the types as openapi-typescript makes them; ``make setup-typescript`` installs it."""
    with tempfile.TemporaryDirectory() as folder:
        described_in, types = Path(folder) / "openapi.json", Path(folder) / "openapi.ts"
        described_in.write_text(json.dumps(described()))
        program = PACKAGE / "node_modules" / ".bin" / "openapi-typescript"
        subprocess.run(
            [program, described_in, "--output", types, "--default-non-nullable=false"],
            capture_output=True,
            timeout=120,
            check=True,
        )
        return types.read_text()


if __name__ == "__main__":
    TYPES.write_text(with_digests(generated()))
