"""What the benchmark, ``deploy/local`` and the tests share: a process runner, an API client and a sample corpus.

No service imports it, and no image holds it. It needs httpx besides the contract.
"""
