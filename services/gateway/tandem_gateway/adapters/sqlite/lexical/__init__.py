"""Search by words: an FTS5 index in a file of its own, which follows the store as the vector index does.

It is a cache of the store and lies beside it, not in it: damage to the one cannot reach the other, a rebuild repairs
it, and an ingest does not wait for it.

``tandem_gateway.analysis`` makes terms of documents and queries. ``query`` turns a query's terms into an FTS5
expression, ``file`` opens and checks the file, ``cache`` is what it holds, ``follower`` brings it up to date and looks
up hits, ``thread`` runs that, ``maintenance`` verifies and rebuilds it.
"""
