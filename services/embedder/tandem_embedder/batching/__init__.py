"""Dynamic batching: admission, lanes, the batch queue, the scheduler and its worker threads."""
