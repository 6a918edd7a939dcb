"""The index as a cache that follows the store: ``follower`` is one collection's, ``thread`` owns them all."""
