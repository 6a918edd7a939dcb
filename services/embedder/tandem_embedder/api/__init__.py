"""The HTTP layer: translates requests for the use case, and its results and errors into replies."""
