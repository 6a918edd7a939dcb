"""A store in memory: a reference implementation of the store's ports in plain code.

The conformance tests in ``tests/gateway/ports`` run on it and on SQLite. Nothing is written to disk: the ports
``Scrubbing`` and ``StoreHealth`` have no meaning here, and only SQLite implements them.
"""
