"""A process runner, an API client and a sample corpus for the command line, the benchmark and the tests.

No service imports this package, and no image contains it. It needs httpx2 and the contract.
"""
