"""Traffic between two pools of embedders: a canary gets a share of it, is compared with stable, and loses it again.

``routing`` decides where a call goes and ``judgement`` whether the canary is as good, both as pure functions;
``trial`` keeps what was observed, ``shift`` carries it out behind the ``Embedder`` port.
"""
