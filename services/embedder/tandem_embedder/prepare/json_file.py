"""Reads the JSON files of a model's folder, which may be damaged or hostile."""

import json
from pathlib import Path
from typing import Any

from tandem_embedder.prepare.errors import UnsupportedModel

MAX_BYTES = 256 << 20
"""The largest tokenizer.json in use is some 35 MB."""


def read_json(path: Path) -> Any:
    """Return the content of a JSON file.

    Raises:
        UnsupportedModel: if it is missing, too large, or no JSON of characters that UTF-8 can write.
    """
    try:
        # A pipe or a device would be waited for, perhaps without end.
        if not path.is_file():
            raise UnsupportedModel(f"{path} is missing")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise UnsupportedModel(f"{path} has {size} bytes, at most {MAX_BYTES} are read")
        value = json.loads(path.read_text(encoding="utf-8"))
        # The standard parser accepts half a surrogate pair, which no file and no hash can be made of.
        json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise UnsupportedModel(f"{path} cannot be read as JSON: it is nested too deeply") from None
    except (ValueError, OSError) as error:
        raise UnsupportedModel(f"{path} cannot be read as JSON: {error}") from error
    return value
