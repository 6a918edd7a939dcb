"""The form of files in the OpenAPI document."""

from typing import Any

from tandem_contract.client_api import DEFAULT_COLLECTION
from tandem_gateway.extraction.formats import FORMATS
from tandem_gateway.http.file_documents import RESERVED
from tandem_gateway.use_cases.validation import RequestLimits

Schema = dict[str, Any]


def form_schema(metadata: Schema, collection: Schema, limits: RequestLimits) -> Schema:
    """Return the schema of the form.

    Args:
        metadata: schema of a document's metadata.
        collection: schema of a collection's name.
        limits: limits of a request.
    """
    file = {"type": "string", "format": "binary", "description": "Its filename ends in one of " + ", ".join(FORMATS)}
    return {
        "title": "FilesForm",
        "type": "object",
        "properties": {
            "files": {
                "type": "array",
                "items": file,
                "minItems": 1,
                "maxItems": limits.files,
                "description": f"Files to store, at most {limits.files}.",
            },
            "collection": {
                **collection,
                "default": DEFAULT_COLLECTION,
                "description": "Name of the collection, which is created if it does not exist.",
            },
            "metadata": {
                **metadata,
                "not": {"anyOf": [{"required": [name]} for name in RESERVED]},
                "description": f"JSON: metadata of all documents. {', '.join(RESERVED)} are the gateway's.",
            },
        },
        "required": ["files"],
        "additionalProperties": False,
    }
