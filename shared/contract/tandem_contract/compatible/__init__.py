"""Messages of other services' APIs, which the gateway takes so that their clients work unchanged.

Unknown fields are ignored here: clients send fields of newer releases, and of their own.
"""
