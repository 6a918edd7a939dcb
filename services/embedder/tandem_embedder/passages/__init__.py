"""How long texts become passages: the request's shape, the windows of a text, and slices of work for a thread."""
