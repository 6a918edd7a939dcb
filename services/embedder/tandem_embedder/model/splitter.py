"""Text → passages, with the library semantic-text-splitter. Only this module imports it.

The first split imports the library, so an embedder that never splits does not load it. A splitter has a tokenizer of
its own, because the model's tokenizer truncates and could not count further than that. Its count excludes special
tokens. It takes 30 to 80 ms and 6 to 11 MiB to make, so the last few are kept. The calls release the GIL.
"""

import importlib
import json
import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tandem_embedder.passages.shape import PassageShape
from tandem_embedder.ports import Span

if TYPE_CHECKING:
    from semantic_text_splitter import MarkdownSplitter, TextSplitter

KEPT: Final = 4
"""Number of splitters to keep: those of the shapes used last."""


class SemanticSplitter:
    """Splits at the largest boundaries that fit: paragraphs, sentences, words, characters. Thread-safe.

    Args:
        path: verified ``tokenizer.json`` of the model.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._splitters: OrderedDict[PassageShape, TextSplitter | MarkdownSplitter] = OrderedDict()

    def split(self, text: str, shape: PassageShape) -> list[Span]:
        """Return the passages of a window; see the port."""
        found = self._splitter(shape).chunk_indices(text)
        return [Span(start, start + len(chunk)) for start, chunk in found]

    def _splitter(self, shape: PassageShape) -> "TextSplitter | MarkdownSplitter":
        with self._lock:
            splitter = self._splitters.get(shape)
            if splitter is None:
                splitter = self._splitters[shape] = self._make(shape)
                if len(self._splitters) > KEPT:
                    self._splitters.popitem(last=False)
            self._splitters.move_to_end(shape)
            return splitter

    def _make(self, shape: PassageShape) -> "TextSplitter | MarkdownSplitter":
        library = importlib.import_module("semantic_text_splitter")
        settings = json.loads(self._path.read_bytes())
        settings["truncation"] = settings["padding"] = None
        kind = library.MarkdownSplitter if shape.format == "markdown" else library.TextSplitter
        splitter: TextSplitter | MarkdownSplitter = kind.from_huggingface_tokenizer_str(
            json.dumps(settings), shape.capacity, shape.overlap
        )
        return splitter
