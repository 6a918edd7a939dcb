"""The store in SQLite: one file, one writer, group commits.

- ``migrations`` has the tables, and ``upgrade`` runs the migrations of an earlier store. ``schema`` has the checksums.
- ``opening`` opens and checks a store, with ``check``, ``commit_watermark`` and ``clean_stop``. ``connection`` opens
  the file and translates its errors.
- ``writer`` is the one thread that writes. ``writes``, ``versions``, ``passages``, ``catalogue``, ``jobs``, ``purge``
  and ``retention`` hold its statements.
- ``reader`` is the thread that reads for the ports; ``reads``, ``listing`` and ``index_reads`` hold statements.
- ``scrub`` compares rows with their checksums; ``backup`` copies the store, ``compaction`` rewrites it.
- ``store``, ``embedding_queue`` and ``index_feed`` implement the ports.
- ``key_store`` keeps the API keys in a database of its own, with ``key_tables``, ``key_secret`` and ``usage``.
"""
