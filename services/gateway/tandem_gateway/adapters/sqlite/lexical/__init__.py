"""Keyword search: an FTS5 index in a file of its own, which follows the store as the vector index does.

The index is a cache of the store in a separate file. Damage to one file cannot reach the other, a rebuild repairs the
index, and ingest does not wait for it.

``tandem_gateway.analysis`` splits documents and queries into terms. In this package,

- ``query`` turns a query's terms into an FTS5 expression, and ``frequencies`` counts the documents that have them;
- ``file`` opens and checks the file, ``cache`` writes it, ``tables`` has the statements for a collection's tables,
  ``languages`` changes the language of its stems, ``texts`` encodes a passage, and ``integrity`` verifies the file;
- ``searcher`` searches the file, with ``postings`` in memory, which ``postings_reader`` reads, their ``bm25`` scores,
  and ``literals`` for phrases;
- ``follower`` brings the index up to date and looks up hits, which ``candidates`` selects; ``removal`` removes what the
  store no longer has, ``merging`` decides when its words leave the file, ``positions`` reports how far to the store,
  ``progress`` reports a long build, and ``thread`` runs the follower;
- ``maintenance`` verifies and rebuilds the index.

The package reads the store only through ``TextFeed``.
"""
