"""Reads what ``tandem ingest`` is given: rows, files, folders, and a folder that is kept in step."""
