"""Access control: API keys, the decisions about them, and the use cases as the holder of a key may use them."""
