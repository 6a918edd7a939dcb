"""Messages of other services' APIs that the gateway also speaks, one module per client or API.

Their requests may have fields that the gateway does not know: clients add fields from release to release.
"""
