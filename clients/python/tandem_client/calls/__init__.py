"""The calls of the API, by subject: each function returns a request as a value, and sends nothing."""
