"""The records that the store, the index and the use cases pass to each other, by concern."""
