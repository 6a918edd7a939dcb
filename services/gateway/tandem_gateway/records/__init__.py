"""Record types that the store, the index and the use cases pass to each other, one module per concern."""
