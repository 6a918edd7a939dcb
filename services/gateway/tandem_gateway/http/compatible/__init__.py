"""Routes of other services' APIs, so that their clients work unchanged."""
