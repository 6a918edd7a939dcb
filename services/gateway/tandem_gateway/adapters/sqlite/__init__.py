"""The document store in SQLite: one file, one writer, group commits.

- ``schema`` defines the tables and upgrades them; ``connection`` opens the file and translates its errors.
- ``writer`` is the one thread that writes; ``writes``, ``reads`` and ``jobs`` hold the statements.
- ``check`` verifies the file; ``commit_watermark`` detects a log that lost its end; ``backup`` copies the store.
- ``store``, ``change_feed`` and ``embedding_queue`` implement the three ports.
"""
