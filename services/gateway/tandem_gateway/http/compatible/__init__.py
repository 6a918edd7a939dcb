"""Routes in the shapes of other services' APIs, whose clients work unchanged."""
