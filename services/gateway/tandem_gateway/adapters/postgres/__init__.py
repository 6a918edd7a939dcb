"""A store that several gateways share: the store's ports on PostgreSQL 14 or later."""
