"""Canary releases of embedders: a second pool gets a share of the calls, and loses it if it is worse than stable.

``shares`` draws the calls of the canary, and ``evaluation`` compares the canary with stable; both are pure functions.
``stats`` keeps the observations. ``router`` carries the decisions out behind the ``Embedder`` port.
"""
