"""A pool of embedders behind one name: DNS, load balancing, health and retries.

The decisions are pure functions that take the clock and the random numbers as arguments. ``addresses`` decides which
replicas belong to the pool. ``balancer`` chooses a replica for a call. ``health`` ejects replicas and takes them back.
``retry_budget`` limits the retries. ``pool`` carries the decisions out; its ``members`` are the replicas.
"""
