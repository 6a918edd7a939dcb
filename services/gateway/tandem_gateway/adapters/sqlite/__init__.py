"""The store in SQLite: one file, one writer, group commits.

- ``migrations`` has the tables, and ``upgrade`` runs the migrations of an earlier store. ``schema`` has the checksums.
- ``opening`` opens and checks a store, with ``check``, ``commit_watermark`` and ``clean_stop``. ``connection`` opens
  the file and translates its errors.
- ``writer`` is the one thread that writes. ``writes``, ``versions``, ``catalogue``, ``jobs``, ``purge`` and
  ``retention`` hold its statements, ``reads`` and ``index_reads`` those of readers.
- ``scrub`` compares rows with their checksums; ``backup`` copies the store, ``compaction`` rewrites it.
- ``store``, ``embedding_queue`` and ``index_feed`` implement the ports.
"""
