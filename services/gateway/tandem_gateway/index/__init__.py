"""The vector index: a cache that follows the store.

``catch_up`` applies the store's changes to one collection's index. ``index_thread`` owns the indexes of all
collections.
"""
