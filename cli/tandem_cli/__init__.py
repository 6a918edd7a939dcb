"""The command line ``tandem``: runs both services on this machine, and works with a gateway anywhere.

``dev`` starts the services as processes and imports none of them. The other commands speak HTTP.
"""
