"""Keyword search: an FTS5 index in a file of its own, which follows the store as the vector index does.

The index is a cache of the store in a separate file. Damage to one file cannot reach the other, a rebuild repairs the
index, and ingest does not wait for it.

``tandem_gateway.analysis`` splits documents and queries into terms. In this package,

- ``query`` turns a query's terms into an FTS5 expression;
- ``file`` opens and checks the file, and ``cache`` reads and writes its tables;
- ``follower`` brings the index up to date and looks up hits, and ``thread`` runs the follower;
- ``maintenance`` verifies and rebuilds the index.
"""
