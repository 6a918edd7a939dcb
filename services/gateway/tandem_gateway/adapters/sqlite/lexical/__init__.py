"""Search by words: an FTS5 index in a file of its own, which follows the store as the vector index does.

It is a cache of the store and lies beside it, not in it: damage to the one cannot reach the other, what is wrong with
it is mended by deleting it, and an ingest does not wait for it.

``query`` turns what a person typed into an FTS5 expression, ``cache`` is the file, ``follower`` brings it up to date
and looks up hits, ``thread`` runs that, ``maintenance`` verifies and rebuilds it.
"""
