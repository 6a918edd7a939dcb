"""tantivy with Tandem's analysis. Its package is optional; this is the only module that imports it.

The terms go into fields with tantivy's whitespace tokenizer, so that it changes none of them. Queries are built from
terms, not parsed.
"""

# ruff: noqa: D102  the interface documents the methods

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tantivy

from gateway_bench.keyword.engine import Damaged
from gateway_bench.keyword.zipf import CATEGORIES, Row
from tandem_gateway.adapters.sqlite.lexical.texts import columns
from tandem_gateway.analysis.terms import QueryTerm, query_terms

# The best of 0, 0.3, 0.5, 0.7, 1, 1.5, 2, 4 and 20 on Cranfield. A document with the exact form gets both scores.
_STEM_WEIGHT = 4.0
_MAX_WORDS = 256
# The least that the writer accepts is 15 MB.
_HEAP_BYTES = 15_000_000


class Tantivy:
    """A tantivy index in a folder, with one indexing thread."""

    def __init__(self, folder: Path) -> None:
        builder = tantivy.SchemaBuilder()
        builder.add_unsigned_field("row", indexed=True, fast=True)
        builder.add_unsigned_field("category", indexed=True, fast=True)
        builder.add_text_field("exact", tokenizer_name="whitespace", index_option="position")
        builder.add_text_field("stem", tokenizer_name="whitespace", index_option="freq")
        self._schema = builder.build()
        with _translated():
            # With another policy, tantivy starts a thread that watches the folder.
            self._index = tantivy.Index(self._schema, path=str(folder))
            self._index.config_reader("manual")
            self._writer: Any = None
            self._reload()

    def add(self, rows: Sequence[Row]) -> None:
        writer = self._open_writer()
        for row in rows:
            exact, stem = columns(row.text)
            document = tantivy.Document()
            document.add_unsigned("row", row.row_id)
            document.add_unsigned("category", row.category)
            document.add_text("exact", exact)
            document.add_text("stem", stem)
            writer.add_document(document)
        writer.commit()
        self._reload()

    def remove(self, row_ids: Sequence[int]) -> None:
        """See ``Engine``. ``delete_documents_by_term`` of tantivy 0.27.0 removes nothing by an unsigned field."""
        writer = self._open_writer()
        writer.delete_documents_by_query(tantivy.Query.term_set_query(self._schema, "row", list(row_ids)))
        writer.commit()
        self._reload()

    def search(self, text: str, limit: int) -> list[int]:
        return self._found(self._any(query_terms(text, _MAX_WORDS)), limit)

    def phrase(self, text: str, limit: int) -> list[int]:
        words: list[Any] = [term.exact for term in query_terms(text, _MAX_WORDS)]
        if len(words) == 1:
            return self._found(self._term("exact", words[0]), limit)
        return self._found(tantivy.Query.phrase_query(self._schema, "exact", words), limit)

    def prefix(self, text: str, limit: int) -> list[int]:
        """See ``Engine``. tantivy gives each match of a prefix the score 1."""
        return self._found(tantivy.Query.fuzzy_term_query(self._schema, "exact", text, 0, prefix=True), limit)

    def within(self, text: str, category: int, limit: int) -> list[int]:
        return self._filtered(text, self._term("category", category), limit)

    def among(self, text: str, allowed: Sequence[int], limit: int) -> list[int]:
        return self._filtered(text, tantivy.Query.term_set_query(self._schema, "row", list(allowed)), limit)

    def facets(self, text: str) -> dict[int, int]:
        wanted = {"facets": {"terms": {"field": "category", "size": CATEGORIES}}}
        with _translated():
            found = self._searcher.aggregate(self._any(query_terms(text, _MAX_WORDS)), wanted)
        return {int(bucket["key"]): int(bucket["doc_count"]) for bucket in found["facets"]["buckets"]}

    def frequency(self, word: str) -> int:
        return int(self._searcher.doc_freq("exact", word))

    def wait(self) -> None:
        if self._writer is not None:
            self._writer.wait_merging_threads()
            self._writer = None
        self._reload()

    def purge(self) -> None:
        """Wait for the merges that tantivy has started; its Python package cannot ask for one."""
        self.wait()
        self._open_writer().garbage_collect_files()
        self._reload()

    def check(self) -> None:
        """Do nothing: tantivy's Python package cannot verify the checksums in the files."""

    def close(self) -> None:
        if self._writer is not None:
            self._writer.wait_merging_threads()
            self._writer = None

    def _open_writer(self) -> Any:
        if self._writer is None:
            self._writer = self._index.writer(_HEAP_BYTES, 1)
        return self._writer

    def _reload(self) -> None:
        self._index.reload()
        self._searcher = self._index.searcher()

    def _term(self, field: str, value: str | int) -> Any:
        return tantivy.Query.term_query(self._schema, field, value)

    def _any(self, terms: Sequence[QueryTerm]) -> Any:
        should = tantivy.Occur.Should
        parts = [(should, self._term("exact", term.exact)) for term in terms]
        stems = dict.fromkeys(term.stem for term in terms if term.stem)
        parts += [(should, tantivy.Query.boost_query(self._term("stem", stem), _STEM_WEIGHT)) for stem in stems]
        return tantivy.Query.boolean_query(parts)

    def _filtered(self, text: str, condition: Any, limit: int) -> list[int]:
        must = tantivy.Occur.Must
        words = self._any(query_terms(text, _MAX_WORDS))
        unranked = tantivy.Query.const_score_query(condition, 0.0)
        return self._found(tantivy.Query.boolean_query([(must, words), (must, unranked)]), limit)

    def _found(self, wanted: Any, limit: int) -> list[int]:
        with _translated():
            hits = self._searcher.search(wanted, limit, count=False).hits
            rows: list[Any] = self._searcher.fast_field_values("row", [address for _, address in hits])
        return rows


@contextmanager
def _translated() -> Iterator[None]:
    """Translate tantivy's errors and the panics of its Rust code into Damaged."""
    try:
        yield
    except BaseException as error:
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise Damaged(f"{type(error).__name__}: {error}") from error
        raise
