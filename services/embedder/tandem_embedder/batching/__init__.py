"""From texts in a queue to batches of the model: admission, lanes, batches and the threads that run them."""
