"""Handlers of the routes that clients of other services call, one module per client or API."""
