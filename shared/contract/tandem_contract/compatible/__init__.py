"""Messages of other services' APIs, which the gateway serves so that their clients work unchanged.

Requests of these APIs have fields that mean nothing here, so unknown fields are ignored; everywhere else they are
refused.
"""
