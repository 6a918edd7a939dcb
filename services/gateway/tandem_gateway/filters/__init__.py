"""The filter language: conditions on the metadata of documents.

``parsing.py`` makes the tree of ``tree.py`` from JSON and refuses what is not valid. ``matching.py`` evaluates it. Both
are pure: they know no store and no HTTP.
"""
