"""Rerankers: by the cosine of vectors, and by the servers of a cross-encoder.

``cosine`` needs the embedder only. ``server`` sends batches to a pool of rerank servers. ``pool`` balances the calls.
``shapes`` writes and reads the messages of both APIs, TEI's and Cohere's. ``httpx_connection`` is the way to one
server.
"""
