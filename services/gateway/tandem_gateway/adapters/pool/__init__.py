"""A pool of embedders behind one name: DNS, load balancing, health and retries.

The decisions are pure functions that take the clock and the random numbers as arguments. ``addresses`` decides which
replicas belong to the pool, ``balancer`` which of them gets a call, ``health`` which of them are ejected, and
``retry_budget`` how many calls may be retried. ``pool`` carries the decisions out.
"""
