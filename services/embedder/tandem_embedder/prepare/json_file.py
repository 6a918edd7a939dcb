"""Read the JSON files in a model's folder, which may be damaged or hostile."""

import json
from pathlib import Path
from typing import Any

from tandem_embedder.prepare.errors import UnsupportedModel

MAX_BYTES = 256 << 20
"""The largest tokenizer.json in use has about 35 MB."""


def read_json(path: Path) -> Any:
    """Return the content of a JSON file.

    Raises:
        UnsupportedModel: if the file is missing, too large, not JSON, or has characters that UTF-8 cannot encode.
    """
    try:
        # Reading a pipe or a device could block forever.
        if not path.is_file():
            raise UnsupportedModel(f"{path} is missing")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise UnsupportedModel(f"{path} has {size} bytes, at most {MAX_BYTES} are read")
        value = json.loads(path.read_text(encoding="utf-8"))
        # The standard parser accepts half a surrogate pair, which cannot be written to a file or hashed.
        json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise UnsupportedModel(f"{path} cannot be read as JSON: it is nested too deeply") from None
    except (ValueError, OSError) as error:
        raise UnsupportedModel(f"{path} cannot be read as JSON: {error}") from error
    return value
