"""How a service runs: settings, log lines, request ids, error replies, memory budget, and the HTTP server.

Both services use it; it knows neither. It imports the contract, the standard library and msgspec. Two parts import
more: ``serving`` runs uvicorn, and ``json_slices`` uses numpy.
"""
