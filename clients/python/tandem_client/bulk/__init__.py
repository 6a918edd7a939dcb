"""Bulk ingest: sends any number of documents in bounded memory.

``batches`` cuts an iterable into requests, ``delivery`` sends one of them and decides after an error, ``tally`` counts,
``resume`` remembers what is done, ``progress`` shows it. ``blocking`` and ``asynchronous`` run them, with some requests
under way at the same time.
"""
